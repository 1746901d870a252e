"""The control socket never blocks either side, and loses nothing that matters."""

from __future__ import annotations

import os
import socket

from callrec.media import channel as channel_module
from callrec.media.channel import Channel


def pair() -> tuple[Channel, Channel]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Channel(ours), Channel(theirs)


def test_a_side_that_does_not_read_is_waited_for_by_nobody() -> None:
    """Messages queue while the other side stands still, statistics are dropped first, and the order stays."""
    ours, theirs = pair()
    sent = 0
    while not ours.backlog:
        ours.send({"t": "digit", "n": sent, "fill": "x" * 2000})
        sent += 1
    ours.send({"t": "stats"}, droppable=True)
    for _ in range(500):
        ours.send({"t": "digit", "n": sent})
        sent += 1
    assert ours.dropped == 1
    got: list[int] = []
    while len(got) < sent:
        got += [message["n"] for message, _ in theirs.receive()]
        ours.flush()
    assert got == list(range(sent))
    assert ours.backlog == 0


def test_descriptors_outlive_their_owner_in_the_backlog() -> None:
    """A descriptor closed by its owner before its turn still arrives."""
    ours, theirs = pair()
    while not ours.backlog:
        ours.send({"t": "fill", "fill": "x" * 2000})
    read, write = os.pipe()
    ours.send({"t": "open"}, (write,))
    os.close(write)
    got: list[int] = []
    while not got:
        for message, descriptors in theirs.receive():
            got += descriptors
            assert message["t"] in ("fill", "open")
        ours.flush()
    os.write(got[0], b"here")
    assert os.read(read, 4) == b"here"


def test_a_closed_side_is_noticed() -> None:
    """When the other side is gone the channel says so, and sending does no harm."""
    ours, theirs = pair()
    theirs.close()
    assert list(ours.receive()) == []
    assert ours.closed
    ours.send({"t": "ping"})


def test_an_endless_backlog_closes_the_channel(monkeypatch: object) -> None:
    """A side that never reads again is given up rather than waited for without end."""
    limit = channel_module._BACKLOG_LIMIT
    channel_module._BACKLOG_LIMIT = 10
    try:
        ours, _theirs = pair()
        for _ in range(10_000):
            ours.send({"t": "fill", "fill": "x" * 2000})
        assert ours.closed
    finally:
        channel_module._BACKLOG_LIMIT = limit
