"""What the catalogue costs: `python -m bench.catalogue [--rows N] [--folder DIR]`.

Prints the processor time of a call (begin, three changes in two transactions, end), commit latency at 50 calls a
second, and how long searches take among N rows; how long it takes to judge them all for retention, with the memory that
takes, and to make a person with 200 recordings unreadable. Rows are real: sealed identities, keyed indices.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import resource
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from callrec.catalogue import (
    CallChange,
    CallEnd,
    CallIdentity,
    Catalogue,
    Event,
    FindQuery,
    NewCall,
    Options,
    Part,
)
from callrec.catalogue.live import INSERT_CALL, INSERT_NAMES, INSERT_NUMBERS, RowMaker
from callrec.catalogue.writer import Change, Numbers, Step
from callrec.clock import SystemClock
from callrec.identifiers import new_call_reference, new_id
from callrec.privacy import Eraser, Reason
from callrec.privacy.erasing import Step as ErasingStep
from callrec.privacy.promise_stores import PromiseStores
from callrec.privacy.retention_plan import Tally
from callrec.privacy.retention_sweep import Sweep
from callrec.settings import Settings
from callrec.vault.keyring import CallKeys, Keyring
from callrec.vault.keyring_errors import KeysUnavailable
from callrec.vault.ledger import Ledger
from callrec.vault.master_key import MasterKey

START = datetime(2025, 1, 1, tzinfo=UTC)
DDIS = 40
A_BATCH = 2_000


def number(n: int) -> str:
    return f"+44163296{n % 100_000:05d}"


def new_call(n: int, keys: CallKeys) -> NewCall:
    caller = number(random.randrange(100_000))
    identity = CallIdentity(
        network_number=caller,
        presentation_number=caller,
        called_number=f"+4420794600{n % DDIS:02d}",
        display_name=f"Caller {n % 5000}",
        sip_call_ids=(f"{new_id()}@192.0.2.1",),
    )
    return NewCall(
        call_id=new_id(),
        call_reference=new_call_reference(),
        direction="inbound",
        started_at=START + timedelta(seconds=20 * n),
        identity=identity,
        identity_key_id=keys.identity_key_id,
        audio_key_id=keys.audio_key_id,
        capture_rule="inbound",
        retention_class="unmatched",
        country="GB",
        number_type="geographic",
    )


def end_of(new: NewCall) -> CallEnd:
    final = CallChange(
        notice={"id": "training-and-monitoring", "version": 1, "completed": True, "heard_ms": 9000},
        legs=({"leg_id": new_id(), "peer": "trunk", "codec": "PCMA"}, {"leg_id": new_id(), "peer": "pbx"}),
        segments=({"start_ms": 0, "end_ms": 60_000, "state": "recorded", "reason": None},),
    )
    return CallEnd(new.started_at + timedelta(seconds=70), "recorded", "complete", final=final)


async def one_call(catalogue: Catalogue, keyring: Keyring, n: int, latencies: list[float]) -> None:
    new = new_call(n, keyring.take_call_keys())
    call_id = new.call_id
    answered = CallChange(answered_at=new.started_at, recording_started_at=new.started_at, recording_id=new_id())
    steps: list[Callable[[], Awaitable[object]]] = [
        lambda: catalogue.open_call(new, [Event("call", "started", call_id)]),
        lambda: catalogue.change_call(
            call_id, answered, [Event("call", "answered", call_id), Event("recording", "started", call_id)]
        ),
        lambda: catalogue.end_call(
            call_id, end_of(new), [Event("recording", "sealed", call_id), Event("call", "ended", call_id)]
        ),
    ]
    for step in steps:
        begun = time.perf_counter()
        await step()
        latencies.append(time.perf_counter() - begun)


async def measure_calls(catalogue: Catalogue, keyring: Keyring, calls: int, rate: float) -> None:
    latencies: list[float] = []
    begun, cpu = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for n in range(calls):
            await asyncio.sleep(max(0.0, begun + n / rate - time.perf_counter()))
            group.create_task(one_call(catalogue, keyring, n, latencies))
    cpu = time.process_time() - cpu
    latencies.sort()
    print(
        f"{rate:g} calls/s: {cpu / calls * 1000:.2f} ms CPU a call; commit p50 {at(latencies, 0.5):.1f} ms, "
        f"p99 {at(latencies, 0.99):.1f} ms, worst {latencies[-1] * 1000:.1f} ms"
    )


def at(values: list[float], share: float) -> float:
    return values[int(len(values) * share)] * 1000


async def fill(catalogue: Catalogue, keyring: Keyring, rows: int) -> None:
    """Enter ended calls in large transactions; the keys are shared by fifty calls to save time, not in the product."""
    maker = RowMaker(keyring, catalogue._index_keys)  # noqa: SLF001 - the bench enters rows the fast way
    begun = time.perf_counter()
    for first in range(0, rows, A_BATCH):
        built = [_built(maker, keyring, n) for n in range(first, min(first + A_BATCH, rows))]

        def steps(numbers: Numbers, built: list[list[Step]] = built) -> list[Step]:
            for one in built:
                one[0].rows[0]["sequence"] = numbers.next_call()
            by_kind = {INSERT_CALL: 0, INSERT_NUMBERS: 1, INSERT_NAMES: 2}
            return sorted((step for one in built for step in one), key=lambda step: by_kind[step.statement])  # type: ignore[index]

        await catalogue._write(Change(None, steps=steps), 120)  # noqa: SLF001 - as above
        if first % 100_000 == 0:
            print(f"  {first} rows, {time.perf_counter() - begun:.0f} s", flush=True)


_SHARED: list[CallKeys] = []


def _built(maker: RowMaker, keyring: Keyring, n: int) -> list[Step]:
    if n % 50 == 0 or not _SHARED:
        while True:
            try:
                _SHARED[:] = [keyring.take_call_keys()]
                break
            except KeysUnavailable:
                time.sleep(0.005)
    new = new_call(n, _SHARED[0])
    call, stored, steps = maker.opened(new, _SHARED[0].identity_key)
    maker.ended(call, end_of(new))
    stored |= {name: value for name, value in call.row.items() if name != "identity"}
    return steps


async def measure_finding(catalogue: Catalogue) -> None:
    async def many(name: str, query: Callable[[], FindQuery], times: int = 200) -> None:
        taken: list[float] = []
        for _ in range(times):
            begun = time.perf_counter()
            await catalogue.find(query())
            taken.append(time.perf_counter() - begun)
        taken.sort()
        print(f"  {name}: p50 {at(taken, 0.5):.1f} ms, p95 {at(taken, 0.95):.1f} ms")

    await many("one caller", lambda: FindQuery(number=number(random.randrange(100_000))))
    await many("our busiest number, newest 100", lambda: FindQuery(number="+442079460000"))
    await many("last four digits", lambda: FindQuery(number=f"*{random.randrange(10_000):04d}"))
    await many("name", lambda: FindQuery(text=f"caller {random.randrange(5000)}"))
    await many("newest 100", FindQuery)
    await many("one day, not recorded", lambda: FindQuery(since=START, outcome="not_recorded"))
    newest = (await catalogue.find(FindQuery(limit=1))).items[0]
    page = await catalogue.find(FindQuery(number=newest["network_number"], limit=1000))
    print(f"  {len(page.items)} calls of one caller found")
    begun = time.perf_counter()
    await catalogue.get(newest["call_id"])
    print(f"  by id: {(time.perf_counter() - begun) * 1000:.1f} ms")


async def measure_sweep(catalogue: Catalogue) -> None:
    """Judge every row for retention as a plan does: once for today, and for a day on which nearly all would go."""
    sweep = Sweep(PromiseStores(catalogue, SystemClock(), Settings))
    for day in (date.today(), date(2100, 1, 1)):  # noqa: DTZ011 - any day will do
        before, processor, begun = resident(), time.process_time(), time.perf_counter()
        longest, tally, last = 0.0, Tally(), time.perf_counter()
        async for _ in sweep.verdicts(day, sweep.policy, tally):
            longest, last = max(longest, time.perf_counter() - last), time.perf_counter()
        taken, processor = time.perf_counter() - begun, time.process_time() - processor
        print(
            f"  {tally.summary.rows} rows judged for {day} in {taken:.1f} s ({processor:.1f} s processor), "
            f"{tally.summary.to_delete} to delete; memory {before:.0f} MB before, {resident():.0f} MB after; "
            f"longest page {longest * 1000:.0f} ms"
        )


def resident() -> float:
    """Return the megabytes this process holds now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


async def measure_erasing(catalogue: Catalogue, eraser: TimedEraser, keyring: Keyring, recordings: Path) -> None:
    ids = [await recorded_call(catalogue, keyring, n, recordings) for n in range(200)]
    begun = time.perf_counter()
    results = await eraser.erase(ids, reason=Reason.DELETE, authoriser="bench")
    taken = time.perf_counter() - begun
    print(
        f"  a person with {len(results)} recordings: unreadable after {(eraser.keys_gone - begun) * 1000:.0f} ms, "
        f"everything gone and verified ({all(r.verified for r in results)}) after {taken * 1000:.0f} ms"
    )


class TimedEraser(Eraser):
    """Notes when the keys are gone: from then on nobody can read anything."""

    def __init__(self, catalogue: Catalogue, keyring: Keyring, ledger: Ledger, recordings: Path) -> None:
        super().__init__(catalogue, keyring, ledger, recordings, self._note)
        self.keys_gone = 0.0

    def _note(self, step: ErasingStep) -> None:
        if step is ErasingStep.KEYS:
            self.keys_gone = time.perf_counter()


async def recorded_call(catalogue: Catalogue, keyring: Keyring, n: int, recordings: Path) -> str:
    """Store a call of one caller, with a file of 100 KB."""
    new = new_call(n, keyring.take_call_keys())
    recording_id, folder = new_id(), f"{new.started_at:%Y/%m/%d}"
    part = Part(recording_id, 1, f"{folder}/{recording_id}.1.crec", 3)
    (recordings / folder).mkdir(parents=True, exist_ok=True)
    (recordings / part.path).write_bytes(b"c" * 100_000)
    await catalogue.open_call(new, [Event("call", "started", new.call_id)])
    answered = CallChange(
        answered_at=new.started_at, recording_started_at=new.started_at, recording_id=recording_id, parts=(part,)
    )
    await catalogue.change_call(new.call_id, answered, [Event("recording", "started", new.call_id)])
    await catalogue.end_call(new.call_id, end_of(new), [Event("call", "ended", new.call_id)])
    return new.call_id


def size_of(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.glob("*.db*")) / 1e6


async def run(folder: Path, rows: int) -> None:
    keyring = Keyring.open(folder / "keyring.db", MasterKey(b"b" * 32), create=True)
    ledger = Ledger.open(folder / "ledger", folder / "outside" / "ledger", keyring.system_key("signing"), SystemClock())
    catalogue = await Catalogue.open(
        folder / "catalogue.db", keyring, Options(ledger=ledger, open_patience_s=60, patience_s=60), strict=True
    )
    latencies: list[float] = []
    for n in range(20):
        await one_call(catalogue, keyring, n, latencies)
    for rate, calls in ((10, 100), (50, 500), (100, 1000)):
        await measure_calls(catalogue, keyring, calls, rate)
    print(f"filling to {rows} rows")
    await fill(catalogue, keyring, rows)
    size = size_of(folder)
    print(f"{rows} rows, {size:.0f} MB; peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    await measure_finding(catalogue)
    await measure_sweep(catalogue)
    await measure_calls(catalogue, keyring, 500, 50)
    recordings = folder / "recordings"
    await measure_erasing(catalogue, TimedEraser(catalogue, keyring, ledger, recordings), keyring, recordings)
    await catalogue.close()
    ledger.close()
    keyring.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.folder is not None:
        given.folder.mkdir(parents=True, exist_ok=True)
        asyncio.run(run(given.folder, given.rows))
        return
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder), given.rows))


if __name__ == "__main__":
    main()
