"""Traces on disk: sealed, aged out, and readable only with the call's identity key."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from callrec.errors import IntegrityError
from callrec.vault.trace_files import TracedMessage, TraceFiles, TraceOwner

NOW = datetime(2026, 11, 28, 13, 0, tzinfo=UTC)
KEY = bytes(range(32))


def message(number: int) -> TracedMessage:
    text = f"INVITE sip:+447700900123@x SIP/2.0\r\nCall-ID: a\r\nCSeq: {number} INVITE\r\n\r\n\xff"
    return TracedMessage(number, True, "udp", "127.0.0.1:5070", "[::1]:5060", text)


def test_chunks_come_back_in_order_and_nothing_of_them_is_readable(tmp_path: Path) -> None:
    """Design 1: no number on the disk; files and folders are their owner's alone."""
    files = TraceFiles(tmp_path / "traces")
    for number in range(3):
        files.append(TraceOwner("call-1", NOW, KEY), number, [message(number)], number)
    trace = files.read("call-1", KEY)
    assert trace is not None
    assert trace.messages == tuple(message(number) for number in range(3))
    assert trace.left_out == 2
    (path,) = files.find(["call-1", "call-2"])
    assert b"7700900123" not in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    assert files.read("call-2", KEY) is None


@pytest.mark.parametrize("what", ["another key", "another call", "altered", "chunks swapped"])
def test_a_trace_that_is_not_its_own_does_not_open(tmp_path: Path, what: str) -> None:
    """Each chunk is bound to its call and its number."""
    files = TraceFiles(tmp_path)
    for number in range(2):
        files.append(TraceOwner("call-1", NOW, KEY), number, [message(0)], 0)
    (path,) = files.find(["call-1"])
    data = path.read_bytes()
    name, key = "call-1", KEY
    if what == "another key":
        key = bytes(32)
    elif what == "another call":
        name = "call-2"
        path.rename(path.with_name("call-2.trace"))
    elif what == "altered":
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    else:
        path.write_bytes(data[len(data) // 2 :] + data[: len(data) // 2])
    with pytest.raises(IntegrityError):
        files.read(name, key)


def test_a_chunk_that_a_kill_cut_off_is_left_out(tmp_path: Path) -> None:
    """What is whole before it can be read."""
    files = TraceFiles(tmp_path)
    for number in range(2):
        files.append(TraceOwner("call-1", NOW, KEY), number, [message(number)], 0)
    (path,) = files.find(["call-1"])
    os.truncate(path, path.stat().st_size - 5)
    trace = files.read("call-1", KEY)
    assert trace is not None
    assert trace.messages == (message(0),)


def test_old_traces_and_those_beyond_the_space_go(tmp_path: Path) -> None:
    """Issue: 7 days from the beginning of the call, whenever it was written; the oldest first where there are many."""
    files = TraceFiles(tmp_path)
    for days in range(10):
        files.append(TraceOwner(f"call-{days}", NOW - timedelta(days=days, minutes=1), KEY), 0, [message(0)], 0)
    size = files.find(["call-0"])[0].stat().st_size
    assert files.age_out(NOW - timedelta(days=7), 1 << 30) == 3
    assert files.age_out(NOW - timedelta(days=7), size * 3) == 4
    assert [path.stem for path in files.find(f"call-{days}" for days in range(10))] == ["call-2", "call-1", "call-0"]
    assert len(list(tmp_path.iterdir())) == 3, "empty folders go, too"
    assert files.remove(["call-0", "call-9"]) == {"call-0"}
    files.append(TraceOwner("call-0", NOW, KEY), 1, [message(1)], 0)
    assert not files.find(["call-0"]), "what of an erased call still waited is not written any more"
