"""A media worker: one process, one epoll loop, one writer thread (`python -m callrec.media.worker --control-fd N`).

It is told what to do over a socket (docs/media-worker-protocol.md) and ends when that socket closes, with everything
heard until then durable. It imports no asyncio, no web and no database: it starts fast and stays small.
"""

from __future__ import annotations

import gc
import os
import resource
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress

from callrec.media.channel import PROTOCOL_VERSION, Channel, Message
from callrec.media.leg import Leg, adopt
from callrec.media.playing import WAIT_FOR_MEDIA_NS, Order, Playing, Wheel
from callrec.media.relay import Relay
from callrec.media.remote import Remote
from callrec.media.rtcp import Rtcp
from callrec.media.taping import Taping
from callrec.media.writer import WriterThread
from callrec.rtp.key_codes import KeyCodes
from callrec.rtp.outgoing import OutgoingStream

TICK_S = 0.002
BUSY_EVENTS = 160
"""So many packets in one look at the sockets, and the next look follows at once; fewer, and they are let gather."""
FEW_EVENTS = 16
BACKLOG_READS = 64
FAULT_LIMIT = 100
"""So many more faults of ours than good turns, and the worker ends, to be replaced by a fresh one."""
HOUSEKEEPING_NS = 20_000_000
STATS_SLICES = 10
STATS_SLICE_NS = 1_000_000_000 // STATS_SLICES
_AUDIO_CACHE = 128
_FINISH_TIMEOUT_S = 10.0
_SWITCH_INTERVAL_S = 0.0005  # how long the writer may keep the interpreter from the loop


class Worker:
    """The loop and what it knows; everything but the writer thread runs here."""

    def __init__(self, channel: Channel) -> None:
        now = time.monotonic_ns()
        self._channel = channel
        self._poll = select.epoll()
        self._legs: dict[int, Leg] = {}
        self._by_fd: dict[int, Leg] = {}
        self._by_rtcp: dict[int, Leg] = {}
        self._rtcp = Rtcp(channel.send)
        self._relay = Relay(channel.send, self._media_heard, self._rtcp.take)
        self._wheel = Wheel(now, self._end_play)
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._writer = WriterThread(lambda: os.eventfd_write(self._wake, 1))
        self._taping = Taping(self._writer, self._relay, channel.send)
        self._audio: dict[str, bytes] = {}
        self._housekeeping_at = now
        self._stats_at = now
        self._slice = 0
        self._faults = 0
        self._commands: dict[str, Callable[[Message, list[int]], None]] = {
            "hello": self._hello,
            "open": self._open,
            "listen": self._listen,
            "remote": self._remote,
            "digits": self._digits,
            "link": self._link,
            "unlink": self._unlink,
            "play": self._play,
            "stop_play": self._stop_play,
            "close": self._close,
            "ping": self._ping,
        }

    def run(self) -> None:
        """Work until the control socket closes."""
        self._writer.start()
        self._poll.register(self._channel.fileno(), select.EPOLLIN)
        self._poll.register(self._wake, select.EPOLLIN)
        self._channel.send({"t": "hello", "version": PROTOCOL_VERSION, "pid": os.getpid()})
        gc.collect()
        gc.freeze()
        again = 0
        while not self._channel.closed:
            count = self._guarded_turn(0.0 if again else self._timeout_s())
            if 0 < count < FEW_EVENTS and again < BACKLOG_READS:
                again += 1  # a few legs may have a backlog each, read packet by packet
                continue
            if count < BUSY_EVENTS and self._legs and (count or again):
                time.sleep(TICK_S)
            again = 0
        self._taping.flush()
        self._writer.finish(_FINISH_TIMEOUT_S)

    def _guarded_turn(self, timeout_s: float) -> int:
        """Look at the sockets once; a fault of ours with one packet or command is told and ends no other call."""
        try:
            count = self._turn(timeout_s)
        except Exception as error:
            self._faults += 1
            if self._faults > FAULT_LIMIT:
                raise
            where = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{os.path.basename(where.filename)}:{where.lineno}"  # noqa: PTH119 - a name, not a path
            detail = f"internal error: {type(error).__name__} at {place}"  # its text may hold what was said
            self._channel.send({"t": "error", "detail": detail}, droppable=True)
            return 1
        self._faults = max(0, self._faults - 1)
        return count

    def _turn(self, timeout_s: float) -> int:
        """Look at the sockets once; return how many were ready."""
        events = self._poll.poll(timeout_s)
        now_ns = time.monotonic_ns()
        now_us = now_ns // 1000
        self._wheel.advance(now_ns)
        by_fd, relay = self._by_fd, self._relay
        buffer, take, readable = relay.buffer, relay.take, select.EPOLLIN
        for fd, mask in events:
            leg = by_fd.get(fd)
            if leg is None:
                self._other(fd)
            elif mask != readable:
                self._unusual(leg, mask, now_ns)
            elif leg.checked:
                relay.take_checked(leg, now_ns)
            else:
                try:
                    length = leg.receive_into(buffer)
                except OSError:
                    leg.drain_errors()
                else:
                    take(leg, length, now_ns, now_us)
        if now_ns >= self._housekeeping_at:
            self._keep_house(now_ns)
        return len(events)

    def _timeout_s(self) -> float:
        if self._wheel:
            return TICK_S
        return 0.02 if self._legs or self._taping.busy or self._channel.backlog else 0.5

    def _unusual(self, leg: Leg, mask: int, now_ns: int) -> None:
        """The far host refused something, or the socket has another complaint: it is counted, and audio goes on."""
        leg.drain_errors()
        if mask & select.EPOLLIN:
            self._relay.take_checked(leg, now_ns)

    def _other(self, fd: int) -> None:
        if fd == self._channel.fileno():
            self._read_commands()
        elif fd == self._wake:
            os.eventfd_read(self._wake)
            self._taping.report()
        elif (leg := self._by_rtcp.get(fd)) is not None:
            self._rtcp.read(leg, time.monotonic_ns())

    def _keep_house(self, now_ns: int) -> None:
        self._housekeeping_at = now_ns + HOUSEKEEPING_NS
        self._channel.flush()
        self._taping.cut(now_ns // 1000)
        if now_ns >= self._stats_at:
            self._stats_at = max(self._stats_at + STATS_SLICE_NS, now_ns - STATS_SLICE_NS)
            self._tell_stats(now_ns)

    def _tell_stats(self, now_ns: int) -> None:
        """Tell the counters of a tenth of the legs and look at their RTCP; after a second all have had their turn."""
        self._slice = (self._slice + 1) % STATS_SLICES
        legs = [leg for leg in self._legs.values() if leg.number % STATS_SLICES == self._slice]
        for leg in legs:
            self._rtcp.look(leg, now_ns)
        rows = [_counters(leg, now_ns) for leg in legs]
        kept = self._taping.kept(self._slice, STATS_SLICES)
        if rows or kept:
            self._channel.send({"t": "stats", "legs": rows, "kept": kept}, droppable=True)

    # --- commands ------------------------------------------------------------------------------------------------

    def _read_commands(self) -> None:
        for message, descriptors in self._channel.receive():
            kind = message["t"]
            command = self._commands.get(kind) or self._taping.commands.get(kind)
            if command is None:
                _close_all(descriptors)
                self._channel.send({"t": "error", "detail": f"unknown command {kind!r}"})
            else:
                command(message, descriptors)

    def _hello(self, message: Message, _descriptors: list[int]) -> None:
        if message["version"] != PROTOCOL_VERSION:
            self._channel.send(
                {"t": "error", "detail": f"found protocol {message['version']}, expected {PROTOCOL_VERSION}"}
            )
            self._channel.closed = True

    def _ping(self, message: Message, _descriptors: list[int]) -> None:
        self._channel.send({"t": "pong", "n": message["n"], "calls": len({leg.call for leg in self._legs.values()})})

    def _open(self, message: Message, descriptors: list[int]) -> None:
        rtp, rtcp = (adopt(descriptor) for descriptor in descriptors)
        outgoing = OutgoingStream(message["ssrc"], message["sequence"], message["timestamp"])
        if message["last_at"] is not None:
            outgoing.resume_from(message["sequence"], message["timestamp"], message["last_at"])
        now_ns = time.monotonic_ns()
        leg = Leg((message["leg"], message["call"]), (rtp, rtcp), outgoing, now_ns)
        self._rtcp.open(leg, message["rtcp_name"], now_ns)
        self._legs[leg.number] = leg
        self._by_fd[leg.fd] = leg
        self._by_rtcp[rtcp.fileno()] = leg
        self._poll.register(rtcp.fileno(), select.EPOLLIN)
        self._taping.leg_opened(leg)
        if not message["quiet"]:
            self._poll.register(leg.fd, select.EPOLLIN)

    def _listen(self, message: Message, _descriptors: list[int]) -> None:
        """Read a leg that was opened quietly: what waits in its socket has been dealt with as a backlog."""
        if (leg := self._legs.get(message["leg"])) is not None:
            self._poll.register(leg.fd, select.EPOLLIN)

    def _remote(self, message: Message, _descriptors: list[int]) -> None:
        leg = self._legs.get(message["leg"])
        if leg is None:
            return
        before = leg.remote
        remote = Remote.from_wire(message)
        leg.set_remote(remote, keep=message["keep"], now_ns=time.monotonic_ns())
        _rewire(leg)
        self._taping.remote_changed(leg)
        play = leg.play
        if play is None or before is None:
            return
        if not remote.may_send or remote.address is None:
            if not play.loop:
                self._end_play(play, "hold")
        elif before.address != remote.address or (remote.codec, remote.packet_time_ms) != (
            before.codec,
            before.packet_time_ms,
        ):
            self._end_play(play, "remote_changed")

    def _digits(self, message: Message, _descriptors: list[int]) -> None:
        if (leg := self._legs.get(message["leg"])) is not None:
            leg.pass_digits, leg.codes = message["pass"], KeyCodes(tuple(message["codes"]))

    def _link(self, message: Message, _descriptors: list[int]) -> None:
        a, b = self._legs.get(message["a"]), self._legs.get(message["b"])
        if a is None or b is None:
            return
        for leg in (a, b):
            if leg.peer is not None and leg.peer not in (a, b):
                leg.peer.peer = None
                leg.peer.rewire()
        a.peer, b.peer = b, a
        _rewire(a)

    def _unlink(self, message: Message, _descriptors: list[int]) -> None:
        leg = self._legs.get(message["a"])
        if leg is not None and leg.peer is not None and leg.peer.number == message["b"]:
            peer, leg.peer = leg.peer, None
            peer.peer = None
            leg.rewire()
            peer.rewire()

    def _play(self, message: Message, descriptors: list[int]) -> None:
        audio = self._audio_of(message["asset"], descriptors)
        leg = self._legs.get(message["leg"])
        if leg is None or leg.remote is None:
            return
        if leg.play is not None:
            self._end_play(leg.play, "stopped")
        order = Order(
            message["play_id"], message["kind"], audio, message["loop"], message["lead_in_ms"], message["maximum_ms"]
        )
        playing = Playing(leg, order)
        if leg.transmit is None and not order.loop:
            self._channel.send(playing.evidence("hold" if leg.remote.address else "no_address"))
            return
        leg.play = playing
        leg.waiting = message["wait"] and not leg.reception.received
        now = time.monotonic_ns()
        self._wheel.add(playing, now + WAIT_FOR_MEDIA_NS if leg.waiting else now)
        if order.kind == "notice":
            self._taping.listen(leg)
        _rewire(leg)

    def _audio_of(self, asset: str, descriptors: list[int]) -> bytes:
        """Return the audio in a memfd, which was read from a disk by nobody here."""
        audio = self._audio.get(asset)
        if audio is None:
            audio = os.pread(descriptors[0], os.fstat(descriptors[0]).st_size, 0)
            if len(self._audio) >= _AUDIO_CACHE:
                del self._audio[next(iter(self._audio))]
            self._audio[asset] = audio
        _close_all(descriptors)
        return audio

    def _media_heard(self, leg: Leg) -> None:
        """The party's media is there: the notice that waited for it begins (NOT-7)."""
        leg.waiting = False
        if leg.play is not None and leg.play.waiting:
            now = time.monotonic_ns()
            leg.play.begin(now)
            self._wheel.add(leg.play, now)

    def _stop_play(self, message: Message, _descriptors: list[int]) -> None:
        leg = self._legs.get(message["leg"])
        if leg is not None and leg.play is not None and message["play_id"] in (None, leg.play.order.play_id):
            self._end_play(leg.play, message.get("why", "stopped"))

    def _end_play(self, playing: Playing, interrupted_by: str | None) -> None:
        leg = playing.leg
        self._wheel.remove(playing)
        leg.play = None
        leg.waiting = False
        self._taping.stop_listening(leg)
        evidence = playing.evidence(interrupted_by)
        if evidence["completed"] and not evidence["confirmed"] and playing.order.kind == "notice":
            leg.control.unconfirmed = playing
        self._channel.send(evidence)
        _rewire(leg)

    def _close(self, message: Message, _descriptors: list[int]) -> None:
        leg = self._legs.pop(message["leg"], None)
        if leg is None:
            return
        if leg.play is not None:
            self._end_play(leg.play, "closed")
        now_ns = time.monotonic_ns()
        self._channel.send({"t": "stats", "legs": [_counters(leg, now_ns)], "kept": []})
        self._rtcp.close(leg, now_ns)
        self._taping.leg_closed(leg)
        self._by_fd.pop(leg.fd)
        self._by_rtcp.pop(leg.rtcp.fileno())
        peer = leg.peer
        # A duplicate in the recorder keeps the socket alive: epoll must be told (epoll(7), Q6).
        with suppress(FileNotFoundError):  # opened quietly and never listened to
            self._poll.unregister(leg.fd)
        self._poll.unregister(leg.rtcp.fileno())
        leg.close()
        if peer is not None:
            peer.peer = None
            peer.rewire()
        self._channel.send({"t": "closed", "leg": message["leg"]})


def _counters(leg: Leg, now_ns: int) -> list[int]:
    """Return a leg's row of the `stats` message."""
    outgoing, reception = leg.outgoing, leg.reception
    silent_ms = (now_ns - leg.last_at) // 1_000_000
    counts = [leg.number, reception.received, reception.lost, leg.sent, leg.refused, leg.dropped, silent_ms]
    return [*counts, outgoing.last_sequence, outgoing.last_timestamp, outgoing.last_at]


def _rewire(leg: Leg) -> None:
    leg.rewire()
    if leg.peer is not None:
        leg.peer.rewire()


def _close_all(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def main() -> None:
    """Run a worker on the control socket whose descriptor the recorder gave us."""
    # A stop of the recorder is told by the closing socket: signals meant for the group must not end calls early.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    control = socket.socket(fileno=int(sys.argv[sys.argv.index("--control-fd") + 1]))
    Worker(Channel(control)).run()
    sys.stdout.flush()
    os._exit(0)  # a writer thread stuck in the kernel must not keep the process


if __name__ == "__main__":
    main()
