"""Whatever a peer sends to the SIP port: the recorder lives, answers others at once, and calls that go on are whole.

A peer is no friend by being configured: its stack has faults, or somebody else sits behind it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.sip.vectors import corpus, sip_bytes, torture_cases
from tests.support.house import Conversation, House
from tests.support.mutations import mutated
from tests.support.processes import wait_until
from tests.support.recorder import TRUNK, Plan, Recorder

OPTIONS_WITHIN_S = 0.2
MAY_GROW_KIB = 150 * 1024
SEEDS = range(10)
TRANSPORTS = ("udp", "tcp")
NUMBERS = itertools.count(1)
ORIGINALS = [case.data for case in torture_cases()] + [
    sip_bytes(entry) for part in ("sip_valid", "sip_malformed") for entry in corpus(part).values()
]


class Prober:
    """A well-behaved peer that asks by OPTIONS, and wants its answer soon.

    Each answer has to come in time. What a loaded machine adds is not the recorder's: the time for which the kernel let
    the recorder or this test wait for a processor is counted, and taken off.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._sip = recorder.sip
        self._recorder_pid = recorder.pid
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((TRUNK, 0))
        self._socket.settimeout(5.0)

    def ask(self, after: str) -> None:
        """Ask once; fail where there is no answer, or a late one."""
        host, port = self._socket.getsockname()
        mark = os.urandom(6).hex()
        request = (
            f"OPTIONS sip:{self._sip[0]}:{self._sip[1]} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{mark};rport\r\nMax-Forwards: 70\r\n"
            f"From: <sip:probe@{host}>;tag={mark}\r\nTo: <sip:{self._sip[0]}>\r\n"
            f"Call-ID: {mark}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        )
        waited, begun = self._waited_s(), time.monotonic()
        self._socket.sendto(request.encode(), self._sip)
        answer = b""
        with contextlib.suppress(TimeoutError):
            while mark.encode() not in answer:
                answer = self._socket.recv(65535)
        took = time.monotonic() - begun
        assert answer.startswith(b"SIP/2.0 200"), f"no answer to OPTIONS {after}"
        own = took - (self._waited_s() - waited)
        assert own <= OPTIONS_WITHIN_S, f"OPTIONS took {own * 1000:.0f} ms of the recorder's own {after}"

    def _waited_s(self) -> float:
        """Return how long the recorder's and our own main thread have waited for a processor (proc(5), schedstat)."""
        return sum(
            int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
            for pid in (self._recorder_pid, os.getpid())
        )

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(scope="module")
def bothered() -> Iterator[House]:
    """Return a house whose recorder must have taken no harm when all of the file is over."""
    with House(Plan(max_calls=100)) as house:
        recorder = house.recorder
        before = resident_kib(recorder.pid)
        workers = {worker["pid"] for worker in recorder.status_now()["workers"]}
        yield house
        wait_until(lambda: recorder.status_now()["active_calls"] == 0, "what hostile INVITEs began has ended", 60)
        assert {worker["pid"] for worker in recorder.status_now()["workers"]} == workers
        grown = resident_kib(recorder.pid) - before
        assert grown < MAY_GROW_KIB, f"the recorder grew by {grown} KiB"
        assert all(item["outcome"] is not None for item in recorder.find())
        log = recorder.log.read_text(errors="replace")
        assert "Traceback" not in log
        assert "internal error" not in log


@contextmanager
def undisturbed(house: House) -> Iterator[Conversation]:
    """Let a call go on meanwhile, and check that its voices are whole."""
    talk = house.connect(f"+4477009007{next(NUMBERS):02}")
    yield talk
    talk.talk(1.0)
    talk.hang_up()
    house.check_exports([talk], [house.item_of(talk)])


def resident_kib(pid: int) -> int:
    """Return how much memory a process holds, in KiB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1])


def bother(house: House, messages: Iterable[bytes], transport: str) -> None:
    """Send every message from the trunk's address, and ask after each of them."""
    prober = Prober(house.recorder)
    try:
        with Sender(house.recorder, transport) as sender:
            for number, message in enumerate(messages):
                sender.send(message)
                prober.ask(f"after message {number} over {transport}: {message[:200]!r}")
    finally:
        prober.close()


class Sender:
    """Sends messages by one socket; over TCP it connects again whenever it was cut off."""

    def __init__(self, recorder: Recorder, transport: str) -> None:
        self._sip = recorder.sip
        self._kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
        self._socket = self._connected()

    def _connected(self) -> socket.socket:
        made = socket.socket(socket.AF_INET, self._kind)
        made.bind((TRUNK, 0))
        made.settimeout(5.0)
        made.connect(self._sip)
        return made

    def send(self, message: bytes) -> None:
        """Send one message, and read what has come."""
        try:
            self._socket.sendall(message)
            self._drain()
        except OSError:
            self._socket.close()
            self._socket = self._connected()

    def _drain(self) -> None:
        self._socket.setblocking(False)
        try:
            while self._socket.recv(65535):
                pass
        except BlockingIOError:
            return
        finally:
            self._socket.settimeout(5.0)

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


@pytest.mark.alone
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_rfc_4475_and_rfc_5118_messages_disturb_nobody(bothered: House, transport: str) -> None:
    """SIP-15: every message of both collections, twice, and every odd one of the corpus."""
    with undisturbed(bothered):
        bother(bothered, [*ORIGINALS, *ORIGINALS], transport)


@pytest.mark.alone
def test_mutated_messages_disturb_nobody(bothered: House) -> None:
    """SIP-15: with ten seeds, half of them over TCP; bombs of headers and lying lengths are among them."""
    with undisturbed(bothered):
        for seed in SEEDS:
            bother(bothered, mutated(ORIGINALS, 60, seed), TRANSPORTS[seed % 2])


@pytest.mark.alone
@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", SEEDS)
def test_twenty_thousand_mutated_messages_disturb_nobody(bothered: House, seed: int) -> None:
    """SIP-15: two thousand with each of ten seeds; a call goes on meanwhile."""
    with undisturbed(bothered):
        bother(bothered, mutated(ORIGINALS, 2_000, 1000 + seed), TRANSPORTS[seed % 2])


@pytest.mark.alone
def test_a_stream_in_any_pieces_is_read(bothered: House) -> None:
    """SIP-13: OPTIONS cut after every byte, and fifty in one piece: each is answered over the same connection."""
    recorder = bothered.recorder
    with socket.socket() as far:
        far.bind((TRUNK, 0))
        far.settimeout(5.0)
        far.connect(recorder.sip)
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = options(far.getsockname(), recorder.sip, "a")
        for byte in request:
            far.sendall(bytes([byte]))
        far.sendall(b"".join(options(far.getsockname(), recorder.sip, f"b{number}") for number in range(50)))
        received = b""
        while received.count(b"SIP/2.0 200") < 51:
            piece = far.recv(65535)
            assert piece, f"the connection was closed after {received.count(b'SIP/2.0 200')} answers"
            received += piece


@pytest.mark.alone
@pytest.mark.parametrize("patience", [1.0, pytest.param(25.0, marks=pytest.mark.long)])
def test_slow_senders_keep_nobody_waiting(bothered: House, patience: float) -> None:
    """Two hundred connections that send a byte now and then; in the end each of them is cut off."""
    recorder = bothered.recorder
    prober = Prober(recorder)
    slow = [socket.create_connection(recorder.sip, 5.0, (TRUNK, 0)) for _ in range(200)]
    try:
        end = time.monotonic() + patience
        request = options((TRUNK, 1), recorder.sip, "slow")
        talk = bothered.connect("+447700900700")
        for number in range(1000):
            for far in slow:
                with contextlib.suppress(OSError):
                    far.sendall(request[number % 40 : number % 40 + 1])
            prober.ask(f"while {len(slow)} connections dawdle")
            if time.monotonic() > end:
                break
            time.sleep(0.2)  # the manner of the attack: time has to pass
        if patience > 20:
            assert all(is_closed(far) for far in slow)
        talk.hang_up()
        bothered.check_exports([talk], [bothered.item_of(talk)])
    finally:
        prober.close()
        for far in slow:
            far.close()


def is_closed(far: socket.socket) -> bool:
    """Say whether the recorder has closed a connection."""
    far.settimeout(5.0)
    try:
        return not far.recv(65535)
    except ConnectionError:
        return True


def options(source: tuple[str, int], target: tuple[str, int], mark: str) -> bytes:
    """Return a plain OPTIONS over TCP."""
    return (
        f"OPTIONS sip:{target[0]}:{target[1]};transport=tcp SIP/2.0\r\n"
        f"Via: SIP/2.0/TCP {source[0]}:{source[1]};branch=z9hG4bK{mark}\r\nMax-Forwards: 70\r\n"
        f"From: <sip:probe@{source[0]}>;tag={mark}\r\nTo: <sip:{target[0]}>\r\n"
        f"Call-ID: {mark}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    ).encode()
