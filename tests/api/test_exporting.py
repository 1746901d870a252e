"""Recordings on their way out: rendered by a helper, from memory, and only for as long as somebody listens."""

from __future__ import annotations

import asyncio
import io
import json
import os
import wave
from contextlib import suppress
from pathlib import Path

import pytest

from callrec.api import exporting, helpers
from callrec.settings import Role
from callrec.tasks import Tasks
from tests.api.fake_recorder import FakeRecorder, item_of
from tests.api.serving import ME, Served, served


def with_recording(api: Served, *, seconds: float = 3.0) -> FakeRecorder:
    item = item_of(1)
    api.recorder.items.append(item)
    api.recorder.add_recording(item, seconds=seconds)
    return api.recorder


def children() -> set[int]:
    """Return the processes that this one has started and not yet ended."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread may end between the two looks
            found |= {int(pid) for pid in (task / "children").read_text().split()}
    return found


async def until(condition: object, limit_s: float = 10.0) -> None:
    assert callable(condition)
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110  the kernel tells us of no child
            await asyncio.sleep(0.01)


async def test_a_wav_comes_with_its_length_and_both_voices(api: Served) -> None:
    """16-bit stereo at 8 kHz: left the outside party, right our side."""
    with_recording(api)
    reply = await api.get("/calls/CALL001/export")
    assert reply.status_code == 200
    assert (reply.headers["content-type"], reply.headers["cache-control"]) == ("audio/wav", "no-store")
    assert int(reply.headers["content-length"]) == len(reply.content)
    with wave.open(io.BytesIO(reply.content)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 8000)
        assert file.getnframes() == 24_000
        frames = file.readframes(24_000)
    left, right = memoryview(frames).cast("h")[::2].tolist(), memoryview(frames).cast("h")[1::2].tolist()
    assert max(abs(sample) for sample in left) > 1000
    assert max(abs(sample) for sample in right) <= 8


@pytest.mark.parametrize("form", ["flac", "mp3", "opus", "pcapng"])
async def test_every_format_can_be_had(api: Served, form: str) -> None:
    """contract.md: wav, flac, mp3, opus and pcapng."""
    with_recording(api, seconds=1.0)
    reply = await api.get("/calls/CALL001/export", format=form)
    magic = {"flac": b"fLaC", "opus": b"OggS", "pcapng": b"\x0a\x0d\x0d\x0a"}
    assert reply.status_code == 200
    assert reply.content.startswith(magic.get(form, b""))
    assert len(reply.content) > 500


async def test_progress_comes_before_the_size_and_the_bytes(api: Served) -> None:
    """The framed answer is lines of JSON, the last with the size, then that many bytes."""
    with_recording(api)
    reply = await api.get("/calls/CALL001/export", progress=True)
    *progress, last = [json.loads(line) for line in reply.content[: reply.content.index(b"RIFF")].splitlines()]
    assert all(0 <= line["progress"] <= 1 for line in progress)
    assert last["size"] == len(reply.content) - reply.content.index(b"RIFF")
    assert (last["call_id"], last["warnings"], last["cut"]) == (item_of(1)["call_id"], [], False)


@pytest.mark.parametrize("framed", [False, True])
async def test_a_damaged_recording_is_told_not_given(api: Served, framed: bool) -> None:
    """Exit code 7, in either form of answer, and not one byte of sound."""
    recorder = with_recording(api)
    path = recorder.stored[item_of(1)["call_id"]].parts[0].path
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    reply = await api.get("/calls/CALL001/export", progress=framed)
    problem = json.loads(reply.content.splitlines()[-1])["problem"] if framed else reply.json()
    assert problem["exit_code"] == 7
    assert b"RIFF" not in reply.content


async def test_a_call_without_audio_is_exit_code_3(api: Served) -> None:
    """contract.md: no audio: play and export exit 3."""
    api.recorder.items.append(item_of(1, recording_id=None))
    reply = await api.get("/calls/CALL001/export")
    assert (reply.status_code, reply.json()["exit_code"]) == (404, 3)


async def test_an_export_is_audited_before_it_starts(api: Served) -> None:
    """Who listened to what is written down."""
    with_recording(api)
    await api.get("/calls/CALL001/export", format="flac")
    assert api.recorder.audited == [(ME, "recording.export", {"call_id": item_of(1)["call_id"], "format": "flac"})]


async def test_operators_may_not_listen(folder: Path) -> None:
    """Only supervisors and admins play and export; the refusal starts no helper."""
    async with served(folder, {ME: Role.OPERATOR}) as api:
        with_recording(api)
        before = children()
        assert (await api.get("/calls/CALL001/export")).json()["exit_code"] == 4
        assert children() <= before


@pytest.mark.parametrize(
    ("role", "reason", "status"),
    [
        (Role.SUPERVISOR, "", 409),
        (Role.SUPERVISOR, "I want to hear it", 409),
        (Role.ADMIN, "  ", 409),
        (Role.ADMIN, "the person asked us to check it", 200),
    ],
)
async def test_law_42_what_is_restricted_is_used_only_with_a_reason_by_who_may(
    folder: Path, role: Role, reason: str, status: int
) -> None:
    """LAW-42: exit 5 to a supervisor whatever he says, and to an admin without a reason; the reason is audited."""
    async with served(folder, {ME: role}) as api:
        with_recording(api).items[0]["holds"] = [{"id": "r-1", "kind": "restricted"}]
        reply = await api.get("/calls/CALL001/export", reason=reason)
        assert reply.status_code == status
        if status == 200:
            assert [detail["reason"] for _, _, detail in api.recorder.audited] == [reason]
        else:
            assert reply.json()["exit_code"] == 5
            assert api.recorder.audited == []


async def test_a_client_that_goes_takes_its_helper_with_it(api: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's rendering runs on when nobody waits for it."""
    with_recording(api)
    monkeypatch.setattr(exporting, "EXPORT_JOB", "tests.api.endless_job")
    before, tasks = children(), Tasks("test")
    asking = tasks.start("ask", api.get("/calls/CALL001/export"))
    await until(lambda: children() - before)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await until(lambda: not children() - before)


async def test_only_a_few_helpers_run_at_once(api: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six exports at once are at most two processes; the others wait their turn."""
    with_recording(api, seconds=1.0)
    most = 0
    before, tasks = children(), Tasks("test")
    asking = [tasks.start("ask", api.get("/calls/CALL001/export")) for _ in range(6)]
    while not all(one.done() for one in asking):
        most = max(most, len(children() - before))
        await asyncio.sleep(0.005)
    assert {one.result().status_code for one in asking} == {200}
    assert 1 <= most <= helpers.HELPERS_AT_ONCE


async def test_a_helper_that_dies_is_told(api: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A helper that ends without a word is exit code 1, not an empty recording."""
    with_recording(api)
    monkeypatch.setattr(exporting, "EXPORT_JOB", "tests.api.dying_job")
    reply = await api.get("/calls/CALL001/export")
    assert (reply.status_code, reply.json()["exit_code"]) == (500, 1)


async def test_a_helper_is_given_neither_key_nor_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments and environment of a helper show no key, and not where the credentials are."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/callrec.service")
    said: list[object] = []
    await helpers.Helpers().run("tests.api.telling_job", helpers.one("{}"), said.append)
    assert said == [{"arguments": 1, "credentials": False, "nice": os.nice(0)}]
