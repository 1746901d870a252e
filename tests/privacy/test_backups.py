"""A backup holds what is needed and no key to read it; whatever of it comes back, the erased stay erased."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from callrec.catalogue import CallNotFound, FindQuery, NewCall
from callrec.errors import ExitCode, IntegrityError, OperatorError
from callrec.privacy import Reason
from callrec.privacy.backup_job import Order as MakeOrder
from callrec.privacy.backup_job import make
from callrec.privacy.backups import Backups, Node, known_copies
from callrec.tasks import Tasks
from callrec.vault.backup_restoring import Order, Part, Step, finish_restore, restore
from callrec.vault.backup_set import SETS, sets_in
from callrec.vault.backup_verifying import verify_backup
from callrec.vault.keyring_errors import KeyDestroyed
from tests.catalogue.house import CALLER, NAME, OURS, START, House, files_with, house, spellings

LONDON = ZoneInfo("Europe/London")


@dataclass
class Site:
    """A store, its backup, and where it is restored to."""

    folder: Path

    @property
    def live(self) -> Path:
        return self.folder / "live"

    @property
    def backup(self) -> Path:
        return self.folder / "backup"

    def order(self, **changes: Any) -> Order:
        given = {"part": Part.ALL, "force": True, **changes}
        return Order(self.backup, self.live, self.live / "recordings", self.live / "outside" / "ledger", **given)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def backups_of(here: House) -> Backups:
    node = Node("rec1", here.folder, here.recordings)
    return Backups(node, here.ledger, here.keyring.system_key("signing"), here.clock)


async def run_here(order: MakeOrder) -> dict[str, Any]:
    """Do in a thread what the helper process does."""
    return await asyncio.to_thread(make, order, lambda _: None)


async def back_up(here: House, site: Site, **options: Any) -> dict[str, Any]:
    return await backups_of(here).create(site.backup, run_here, **options)


async def erase(here: House, new: NewCall) -> None:
    (result,) = await here.eraser().erase([new.call_id], reason=Reason.REQUEST, authoriser="dpo")
    assert result.verified


async def assert_never_seen(here: House, new: NewCall) -> None:
    """Assert that an erased call is in no list, file, export, search or event."""
    for key_id in (new.identity_key_id, new.audio_key_id):
        with pytest.raises(KeyDestroyed):
            await here.keyring.load(key_id or "")
    with pytest.raises(CallNotFound):
        await here.catalogue.get(new.call_id)
    assert await here.catalogue.recordings_of(new.call_id) is None
    assert new.call_id not in {item["call_id"] for item in (await here.catalogue.find(FindQuery())).items}
    assert new.call_id not in {item["call_id"] for item in (await here.catalogue.find(FindQuery(number=CALLER))).items}
    for event in await here.catalogue.events_after(0, 1000):
        if event.document.get("subject") == new.call_id:
            assert (event.noun, event.verb) == ("recording", "erased")


# Making


async def test_a_backup_is_whole_and_tells_nothing(site: Site) -> None:
    """Every file is the owner's alone, and no number, name or master key is in any of them."""
    async with house(site.live) as here:
        await here.recorded_call()
        made = await back_up(here, site)
        public = here.ledger.public_key()
    assert (made["recordings"], made["new_recordings"], made["removed"]) == (2, 2, [])
    files = [path for path in site.backup.rglob("*") if path.is_file()]
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)
    folders = [path for path in (site.backup, *site.backup.rglob("*")) if path.is_dir()]
    assert all(path.stat().st_mode & 0o077 == 0 for path in folders)
    assert files_with(site.backup, [*spellings(CALLER), *spellings(OURS), NAME.encode(), b"m" * 32]) == []
    names = {path.name for path in (site.backup / SETS / made["id"]).iterdir()}
    assert names == {"manifest.json", "catalogue.db", "keyring.db", "ledger", "recordings.list"}
    findings = list(verify_backup(site.backup, _key(public), START))
    assert [finding.state for finding in findings] == ["whole", "whole"]


def _key(public: bytes) -> Any:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415 - only here

    return Ed25519PublicKey.from_public_bytes(public)


async def test_a_backup_is_brought_up_to_date(site: Site) -> None:
    """What is there is not copied again, and what was erased since leaves even the ciphertext."""
    async with house(site.live) as here:
        first = await here.recorded_call()
        await back_up(here, site)
        await here.recorded_call()
        here.clock.advance(timedelta(days=1))
        made = await back_up(here, site)
        assert (made["recordings"], made["new_recordings"]) == (4, 2)
        await erase(here, first)
        here.clock.advance(timedelta(days=1))
        made = await back_up(here, site)
        assert (made["recordings"], made["new_recordings"]) == (2, 0)
    assert len(list((site.backup / "recordings").rglob("*.crec"))) == 2
    assert not any(finding.bad for finding in verify_backup(site.backup, None, START))


@pytest.mark.parametrize(("mode", "links"), [(0o600, True), (0o644, False)])
async def test_a_recording_gets_a_second_name_or_is_copied(site: Site, mode: int, links: bool) -> None:
    """On the same disk one file serves both; where it cannot, or others could read it, its bytes are copied."""
    async with house(site.live) as here:
        await here.recorded_call()
        for path in here.recordings.rglob("*.crec"):
            path.chmod(mode)
        await back_up(here, site)
        live = {path.stat().st_ino for path in here.recordings.rglob("*.crec")}
    copies = list((site.backup / "recordings").rglob("*.crec"))
    assert len(copies) == 2
    assert all(path.stat().st_mode & 0o077 == 0 for path in copies)
    assert ({path.stat().st_ino for path in copies} == live) is links


async def test_sets_age_out(site: Site) -> None:
    """LAW-47, LAW-50: a daily backup leaves no set past its fourteenth day, and the list of copies says the same."""
    async with house(site.live) as here:
        await here.recorded_call()
        for _ in range(20):
            await back_up(here, site)
            here.clock.advance(timedelta(days=1))
            ages = [here.clock.now() - copy.made_at for copy in backups_of(here).copies()]
            assert max(ages) <= timedelta(days=14)
            assert len(sets_in(site.backup)) == len(ages) == len(known_copies(site.live))
        assert len(ages) == 13


async def test_the_recorder_removes_what_nobody_else_does(site: Site) -> None:
    """A set of which the time is over goes with the next look; one out of reach stays in the list."""
    async with house(site.live) as here:
        backups = backups_of(here)
        await back_up(here, site)
        here.clock.advance(timedelta(days=13, hours=23))
        away = site.backup.rename(site.folder / "away")
        await backups.look()
        assert len(backups.copies()) == 1
        away.rename(site.backup)
        await backups.look()
        assert (backups.copies(), sets_in(site.backup)) == ([], [])


async def test_beyond_use_lasts_until_the_last_older_copy_is_gone(site: Site) -> None:
    """LAW-46: the date is that of the newest copy from before the erasure, and none where there is no such copy."""
    async with house(site.live) as here:
        backups = backups_of(here)
        assert backups.beyond_use_until(here.clock.now(), LONDON) is None
        await back_up(here, site)
        here.clock.advance(timedelta(days=2))
        await back_up(here, site, keys_only=True)
        erased_at = here.clock.now() + timedelta(hours=1)
        here.clock.advance(timedelta(days=1))
        await back_up(here, site)
        assert backups.beyond_use_until(erased_at, LONDON) == (START + timedelta(days=16)).date()
        assert backups.beyond_use_until(START - timedelta(days=1), LONDON) is None
        here.clock.advance(timedelta(days=14))
        shutil.rmtree(site.backup)
        assert backups.beyond_use_until(erased_at, LONDON) == here.clock.now().date()
        site.backup.mkdir()
        await backups.look()
        assert backups.beyond_use_until(erased_at, LONDON) is None


async def test_a_backup_that_failed_leaves_nothing(site: Site) -> None:
    """Neither a half set with keys in it nor a copy in the list."""
    async with house(site.live) as here:
        await here.recorded_call()
        (site.backup / "recordings").mkdir(parents=True)
        (site.backup / "recordings" / "2026").write_text("in the way")
        with pytest.raises(OperatorError, match="could not be made"):
            await back_up(here, site)
        assert backups_of(here).copies() == []
        assert list((site.backup / SETS).iterdir()) == []


async def test_a_backup_that_was_killed_is_known_and_removed(site: Site) -> None:
    """Its copy of the keyring is in the list before its first byte is written."""
    async with house(site.live) as here:

        async def killed(order: MakeOrder) -> dict[str, Any]:
            growing = site.backup / SETS / f".new-{order.set_id}"
            growing.mkdir(parents=True)
            (growing / "keyring.db").write_bytes(b"keys")
            raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await backups_of(here).create(site.backup, killed)
        assert len(backups_of(here).copies()) == 1
        await backups_of(here).look()
        assert backups_of(here).copies() == []
        assert list((site.backup / SETS).iterdir()) == []


async def test_a_backup_into_the_store_itself_is_refused(site: Site) -> None:
    """It would back up itself, and be lost with it."""
    async with house(site.live) as here:
        for place in (site.live / "backup", here.recordings, site.folder):
            with pytest.raises(OperatorError, match="name a folder elsewhere"):
                await backups_of(here).create(place, run_here)


async def test_a_backup_while_calls_go_on_has_a_key_for_every_row(site: Site) -> None:
    """Rows and keys are written all the time, and what is copied fits together."""
    async with house(site.live) as here:
        going = True

        async def call() -> None:
            while going:
                await here.open_call()
                await asyncio.sleep(0)

        calls = Tasks("test").start("calls", call())
        for _ in range(5):
            here.clock.advance(timedelta(seconds=1))
            made = await back_up(here, site)
        going = False
        await calls
    one = site.backup / SETS / made["id"]
    with closing(sqlite3.connect(one / "catalogue.db")) as rows, closing(sqlite3.connect(one / "keyring.db")) as keys:
        known = {key for (key,) in keys.execute("SELECT key_id FROM keys")}
        wanted = {key for pair in rows.execute("SELECT identity_key_id, audio_key_id FROM calls") for key in pair}
    assert wanted
    assert wanted <= known


# Verifying


@pytest.mark.parametrize("name", ["catalogue.db", "keyring.db", "ledger", "recordings.list", "manifest.json", "crec"])
@pytest.mark.parametrize("damage", ["altered", "missing"])
async def test_whatever_is_altered_or_missing_is_found(site: Site, name: str, damage: str) -> None:
    """One byte, or one file."""
    async with house(site.live) as here:
        await here.recorded_call()
        made = await back_up(here, site)
        public = here.ledger.public_key()
    path = site.backup / SETS / made["id"] / name
    if name == "crec":
        path = next((site.backup / "recordings").rglob("*.crec"))
    if damage == "missing":
        path.unlink()
    else:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(bytes(content))
    assert any(finding.bad for finding in verify_backup(site.backup, _key(public), START))


async def test_a_manifest_of_another_node_is_not_believed(site: Site) -> None:
    """With the node's key at hand, a set that somebody else made is told."""
    async with house(site.live) as here:
        await back_up(here, site)
    async with house(site.folder / "other") as other:
        findings = list(verify_backup(site.backup, _key(other.ledger.public_key()), START))
    assert [finding.state for finding in findings if finding.bad] == ["unsigned"]


def test_a_folder_that_is_no_backup_is_told(tmp_path: Path) -> None:
    """Nothing to verify is not the same as verified."""
    assert [finding.state for finding in verify_backup(tmp_path, None, START)] == ["missing"]


# Restoring


@asynccontextmanager
async def restarted(site: Site) -> AsyncIterator[House]:
    """Open the stores as a start does, and bring them up to the ledger."""
    finish_restore(site.live)
    async with house(site.live) as again:
        await again.eraser().resume()
        yield again


COMBINATIONS = [
    parts
    for parts in product(("", "keyring.db"), ("", "catalogue.db"), ("", "recordings"), ("", "ledger"))
    if any(parts)
]


@pytest.mark.parametrize("parts", COMBINATIONS, ids=lambda parts: "+".join(filter(None, parts)))
async def test_whatever_is_restored_by_hand_the_erased_stay_erased(site: Site, parts: tuple[str, ...]) -> None:
    """LAW-48: keyring, catalogue, files and an old ledger in every combination, copied over by hand."""
    async with house(site.live) as here:
        gone, kept = await here.recorded_call(), await here.recorded_call()
        made = await back_up(here, site)
        await erase(here, gone)
        later = await here.recorded_call()
        await erase(here, later)
    one = site.backup / SETS / made["id"]
    for name in filter(None, parts):
        if name == "recordings":
            shutil.copytree(site.backup / name, site.live / name, dirs_exist_ok=True)
            continue
        for beside in site.live.glob(f"{name}-*"):
            beside.unlink()
        shutil.copy(one / name, site.live / name)
    async with restarted(site) as again:
        await assert_never_seen(again, gone)
        await assert_never_seen(again, later)
        assert again.ledger.in_doubt is None
        assert (await again.catalogue.get(kept.call_id))["network_number"] == CALLER
        assert again.ledger.open_intents == []


@pytest.mark.parametrize("part", list(Part))
async def test_a_restore_by_command_brings_back_what_is_kept_only(site: Site, part: Part) -> None:
    """All, the database alone, the files alone: what was erased is erased again, what was kept is there."""
    async with house(site.live) as here:
        gone, kept = await here.recorded_call(), await here.recorded_call()
        await back_up(here, site)
        await erase(here, gone)
    if part is not Part.DATABASE:
        shutil.rmtree(site.live / "recordings")
    restored = restore(site.order(part=part), START)
    assert restored.ledger == "kept"
    assert restored.recordings == (0 if part is Part.DATABASE else 4)
    async with restarted(site) as again:
        await assert_never_seen(again, gone)
        assert (await again.catalogue.get(kept.call_id))["network_number"] == CALLER
        recording = await again.catalogue.recordings_of(kept.call_id)
        assert recording is not None
        assert all((again.recordings / one.path).exists() for one in recording.parts)


async def test_a_restore_onto_an_empty_machine_takes_the_ledger_of_the_backup(site: Site) -> None:
    """There is no other left: then it says so, because nobody knows what was erased after the backup."""
    async with house(site.live) as here:
        gone, kept = await here.recorded_call(), await here.recorded_call()
        await erase(here, gone)
        await back_up(here, site)
    shutil.rmtree(site.live)
    site.live.mkdir()
    restored = restore(site.order(force=False), START)
    assert restored.ledger == "from_backup"
    async with restarted(site) as again:
        await assert_never_seen(again, gone)
        assert (await again.catalogue.get(kept.call_id))["network_number"] == CALLER


async def test_a_store_is_not_overwritten_unless_forced(site: Site) -> None:
    """Exit code 5, and nothing is changed."""
    async with house(site.live) as here:
        await here.recorded_call()
        await back_up(here, site)
    before = {path: path.read_bytes() for path in site.live.rglob("*") if path.is_file()}
    for part in Part:
        with pytest.raises(OperatorError, match="is there already") as caught:
            restore(site.order(part=part, force=False), START)
        assert caught.value.exit_code is ExitCode.REFUSED
    assert {path: path.read_bytes() for path in site.live.rglob("*") if path.is_file()} == before


async def test_a_damaged_set_is_not_restored(site: Site) -> None:
    """Nothing is changed, and an older one can be named."""
    async with house(site.live) as here:
        await here.recorded_call()
        first = await back_up(here, site)
        here.clock.advance(timedelta(days=1))
        second = await back_up(here, site)
    (site.backup / SETS / second["id"] / "keyring.db").write_bytes(b"nothing")
    before = (site.live / "keyring.db").read_bytes()
    with pytest.raises(IntegrityError, match="nothing was restored"):
        restore(site.order(), START)
    assert (site.live / "keyring.db").read_bytes() == before
    assert restore(site.order(set_id=first["id"][:12]), START).set_id == first["id"]
    with pytest.raises(OperatorError) as caught:
        restore(site.order(set_id="2031"), START)
    assert caught.value.exit_code is ExitCode.NOT_FOUND


async def test_a_copy_of_the_keys_alone_is_no_backup_of_the_catalogue(site: Site) -> None:
    """It is told, not half restored."""
    async with house(site.live) as here:
        await back_up(here, site, keys_only=True)
    with pytest.raises(OperatorError, match="keys alone"):
        restore(site.order(), START)


class PulledPlug(BaseException):
    """Nothing after it happens."""


@contextmanager
def pulled() -> Iterator[None]:
    with pytest.raises(PulledPlug):
        yield


@pytest.mark.parametrize("step", list(Step))
async def test_a_plug_pulled_during_a_restore_leaves_all_or_nothing(site: Site, step: Step) -> None:
    """The next start has the old stores or the new ones, never one of each; and the erased stay erased."""
    async with house(site.live) as here:
        gone, kept = await here.recorded_call(), await here.recorded_call()
        made = await back_up(here, site)
        await erase(here, gone)
        after = await here.recorded_call()

    def pull(at: Step) -> None:
        if at is step:
            raise PulledPlug

    with pulled():
        restore(site.order(), START, pull)
    async with restarted(site) as again:
        await assert_never_seen(again, gone)
        assert (await again.catalogue.get(kept.call_id))["network_number"] == CALLER
        restored = await again.catalogue.state_of(after.call_id) is None
        assert restored == (step in {Step.MARKED, Step.SWAPPED})
    assert list(site.live.glob("*.restoring")) == []
    assert restore(site.order(), START).set_id == made["id"]


async def test_an_old_log_is_not_written_into_a_restored_database(site: Site) -> None:
    """What SQLite left beside the old database goes with it."""
    async with house(site.live) as here:
        await here.recorded_call()
        await back_up(here, site)
    for name in ("catalogue.db-wal", "catalogue.db-shm", "keyring.db-journal"):
        (site.live / name).write_bytes(b"of the old one")
    restore(site.order(), START)
    assert [path.name for path in site.live.glob("*.db-*")] == []


# Numbers


@pytest.mark.parametrize("by", ["command", "hand"])
async def test_event_numbers_go_on_at_the_next_block_after_a_restore(site: Site, by: str) -> None:
    """No number is given twice, and `system/recovered` names those that will never come."""
    async with house(site.live) as here:
        await here.recorded_call()
        made = await back_up(here, site)
        await here.recorded_call()
        await here.ledger.append([_run()], reach_copy=False)
        last = here.catalogue.last_event
    if by == "command":
        restore(site.order(part=Part.DATABASE), START)
    else:
        for name in ("catalogue.db-wal", "catalogue.db-shm"):
            (site.live / name).unlink(missing_ok=True)
        shutil.copy(site.backup / SETS / made["id"] / "catalogue.db", site.live / "catalogue.db")
    async with house(site.live) as again:
        numbers = [event.sequence for event in await again.catalogue.events_after(last)]
        (told, *_) = await again.catalogue.events_after(last)
    assert numbers[0] == 10_001
    assert (told.noun, told.verb) == ("system", "recovered")
    assert told.document["data"]["skipped_upto"] == 10_000


def _run() -> Any:
    from callrec.vault.ledger_entries import Draft  # noqa: PLC0415 - only here

    return Draft("run", {"what": "started"})


async def test_a_party_that_was_forgotten_stays_forgotten(site: Site) -> None:
    """Its key and rows go again when an older catalogue and keyring are restored."""
    from callrec.privacy.promise_stores import PromiseStores  # noqa: PLC0415 - only here
    from callrec.privacy.relationships import Relationships  # noqa: PLC0415 - only here
    from callrec.settings import Settings  # noqa: PLC0415 - only here

    def book(here: House) -> Relationships:
        settings = Settings()
        return Relationships(
            PromiseStores(here.catalogue, here.clock, lambda: settings, here.keyring, here.ledger, here.eraser())
        )

    async with house(site.live) as here:
        await book(here).set("CUST-1", name=NAME, numbers=[CALLER], kind="customer", actor="root")
        await back_up(here, site)
        (party_id,) = await book(here).find_by_number(CALLER)
        assert await book(here).forget(party_id)
    restore(site.order(part=Part.DATABASE), START)
    async with restarted(site) as again:
        assert await book(again).find_by_number(CALLER) == []
        await book(again).tying.tie_parties((party_id,))
        assert await book(again).leftovers(party_id) == []
        with pytest.raises(OperatorError):
            await book(again).show("CUST-1")


def test_the_order_to_the_helper_shows_no_key() -> None:
    """What might be logged of it is its name and place."""
    order = MakeOrder("/to", "/state", "/recordings", "one", "rec1", "2026-11-25T10:00:00Z", {}, MASTER_HEX)
    assert MASTER_HEX not in repr(order)
    assert MakeOrder.of_line(order.as_line()) == order
    assert json.loads(order.as_line())["set_id"] == "one"


MASTER_HEX = "6d" * 32
