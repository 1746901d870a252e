"""A peer that does not answer is known, is asked lightly, and is well with its first word; no stranger is asked."""

from __future__ import annotations

import socket

import pytest

from callrec.settings import Peer
from callrec.signalling import Peers
from callrec.signalling.reachability import ASK_AGAIN_S, MISSES, Reachability
from callrec.sip.events import Address, Failed, Flow
from callrec.sip.message import Request, parse_message
from tests.support.pair import dial
from tests.support.ports import free_port
from tests.support.sip_driver import Driven, driven, peer, until
from tests.support.wire import Wire, reply

US = Address("127.0.0.1", 5070)


def to(host: str, port: int = 5060) -> Flow:
    return Flow("udp", US, Address(host, port))


class Asked:
    """Reachability with a clock turned by hand, and whom it asked."""

    def __init__(self, *peers: Peer) -> None:
        self.now = 1000.0
        self.asked: list[tuple[Flow, str]] = []
        self.peers = Peers(peers)
        self.count = 0
        self.reach = Reachability(
            self._peer_of,
            lambda flow, token: self.asked.append((flow, token)),
            self._token,
            lambda: self.now,
        )

    def _peer_of(self, address: Address) -> Peer | None:
        return self.peers.match(address)

    def _token(self) -> str:
        self.count += 1
        return f"t{self.count}"

    def wait(self, seconds: float) -> list[Flow]:
        """Let time pass second by second; return who was asked."""
        self.asked.clear()
        for _ in range(round(seconds)):
            self.now += 1
            self.reach.look()
        return [flow for flow, _ in self.asked]

    def answer(self, cause: str) -> None:
        """End the question under way."""
        self.reach.replied(self.asked[-1][1], cause)


def pbx(**more: object) -> Peer:
    return peer("pbx", "127.0.0.2", "203.0.113.0/24", **more)


@pytest.mark.parametrize(("cause", "words"), [("timeout", "does not answer"), ("transport", "cannot be reached")])
def test_a_call_that_nobody_answers_tells_that_the_peer_is_down(cause: str, words: str) -> None:
    """Its name, its address and what to do; asked every half minute, and well with whatever it says."""
    here = Asked(pbx())
    here.reach.call_failed(to("127.0.0.2"), cause)
    (text,) = here.reach.problems().values()
    assert text.startswith(f"peer pbx {words} at 127.0.0.2:5060 over udp")
    assert here.wait(ASK_AGAIN_S - 1) == []
    assert here.wait(1) == [to("127.0.0.2")]
    assert here.wait(120) == [], "one question at a time"
    here.asked.append((to("127.0.0.2"), "t1"))
    here.answer(cause)
    assert list(here.reach.problems().values()) == [text]
    assert here.wait(ASK_AGAIN_S) == [to("127.0.0.2")]
    here.answer("response")
    assert here.reach.problems() == {}
    assert here.wait(600) == [], "who is up, and need not be asked, is not"


def test_any_word_of_a_peer_is_enough() -> None:
    """A request of its own counts as an answer; the same word from another port does not."""
    here = Asked(pbx())
    here.reach.call_failed(to("127.0.0.2"), "timeout")
    here.reach.heard(to("127.0.0.2", 5080))
    assert here.reach.problems()
    here.reach.heard(to("127.0.0.2"))
    assert here.reach.problems() == {}


def test_two_addresses_of_one_peer_are_two_things() -> None:
    """One of them answers, the other is down; each has a problem of its own."""
    here = Asked(pbx())
    for host in ("127.0.0.2", "203.0.113.5"):
        here.reach.call_failed(to(host), "timeout")
    assert len(here.reach.problems()) == 2
    here.reach.heard(to("127.0.0.2"))
    (name,) = here.reach.problems()
    assert name == "pbx udp 203.0.113.5:5060"


def test_a_stranger_is_neither_told_nor_asked() -> None:
    """Who is no peer is not ours to watch, whatever the configuration calls."""
    here = Asked(pbx(options_seconds=30))
    here.reach.call_failed(to("192.0.2.1"), "timeout")
    here.reach.watch([to("192.0.2.1")])
    assert here.reach.problems() == {}
    assert here.wait(300) == []


def test_a_silent_peer_is_asked_and_is_down_after_two_questions() -> None:
    """`options_seconds`: one lost datagram is no fault; traffic of its own makes questions needless."""
    here = Asked(pbx(options_seconds=60))
    here.reach.watch([to("127.0.0.2")])
    for _ in range(6):
        assert here.wait(59) == []
        here.reach.heard(to("127.0.0.2"))
    assert here.wait(60) == [to("127.0.0.2")]
    here.answer("timeout")
    for _ in range(MISSES - 1):
        assert here.reach.problems() == {}
        assert here.wait(60) == [to("127.0.0.2")]
        here.answer("timeout")
    assert "OPTIONS" in str(here.reach.problems())
    assert here.wait(ASK_AGAIN_S) == [to("127.0.0.2")]
    here.answer("response")
    assert here.reach.problems() == {}
    assert here.wait(60) == [to("127.0.0.2")], "and it goes on being asked"


def test_a_reload_keeps_what_is_known_of_who_is_still_there() -> None:
    """A destination that is called no more is asked until it is well; a peer that is none any more is forgotten."""
    here = Asked(pbx(options_seconds=60), peer("other", "127.0.0.3", options_seconds=60))
    here.reach.watch([to("127.0.0.2"), to("127.0.0.3")])
    for host in ("127.0.0.2", "127.0.0.3"):
        here.reach.call_failed(to(host), "timeout")
    here.peers = Peers([pbx()])
    here.reach.watch([to("127.0.0.2")])
    assert list(here.reach.problems()) == ["pbx udp 127.0.0.2:5060"]
    here.reach.heard(to("127.0.0.2"))
    assert here.wait(600) == []


def test_who_is_down_is_remembered_within_limits() -> None:
    """A range of addresses that all fail must not grow memory."""
    here = Asked(peer("range", "10.0.0.0/8"))
    for number in range(1000):
        here.reach.call_failed(to(f"10.1.{number // 250}.{number % 250 + 1}"), "timeout")
    assert len(here.reach.problems()) == 256


async def call_fails(caller: Driven, flow: Flow, leg: str) -> None:
    caller.endpoint.dial(dial(leg, flow), caller.now)
    await caller.take(Failed)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_over_real_sockets_a_peer_goes_and_comes_back(transport: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused call, an OPTIONS that is answered 405, and all is well: no call was needed for it."""
    monkeypatch.setattr("callrec.signalling.reachability.ASK_AGAIN_S", 0.05)
    monkeypatch.setattr("callrec.signalling.driver.SWEEP_S", 0.05)
    port = free_port("127.0.0.1")
    flow = Flow("tcp" if transport == "tcp" else "udp", US, Address("127.0.0.1", port))
    async with driven("127.0.0.1") as caller:
        flow = flow._replace(local=caller.address(transport))
        await call_fails(caller, flow, "leg")
        (text,) = caller.driver.reachability.problems().values()
        assert f"127.0.0.1:{port}" in text
        async with driven("127.0.0.1", listen=(f"{transport}://127.0.0.1:{port}",), options_reply=_drains):
            await until(lambda: not caller.driver.reachability.problems())
    assert caller.told.empty(), "a question is the driver's own affair"


def _drains() -> tuple[int, list[tuple[str, str]]]:
    return 503, []


async def test_destinations_of_the_configuration_are_asked_from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each peer among them that wants to be asked gets OPTIONS, others get nothing."""
    monkeypatch.setattr("callrec.signalling.driver.SWEEP_S", 0.05)
    asked, quiet = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    asked.bind(("127.0.0.2", 0))
    quiet.bind(("127.0.0.3", 0))
    peers = Peers([peer("asked", "127.0.0.2", options_seconds=1), peer("quiet", "127.0.0.3")])
    made = Driven(peers, ("udp://127.0.0.1:0",))
    made.driver.watch([f"sip:127.0.0.{n}:{s.getsockname()[1]}" for n, s in ((2, asked), (3, quiet))])
    await made.driver.start()
    try:
        asked.setblocking(False)
        data = b""

        def came() -> bool:
            nonlocal data
            try:
                data = asked.recv(4096)
            except BlockingIOError:
                return False
            return True

        await until(came)
        options = parse_message(data)
        assert getattr(options, "method", "") == "OPTIONS"
        quiet.setblocking(False)
        with pytest.raises(BlockingIOError):
            quiet.recv(4096)
    finally:
        await made.driver.stop()
        asked.close()
        quiet.close()


def test_an_early_answer_of_any_kind_keeps_a_peer_up() -> None:
    """RFC 3261 17.1.1.2: Timer B runs only while nothing came; a 100 says that somebody is there."""
    silent: list[Flow] = []
    wire = Wire(on_silence=lambda flow, _cause: silent.append(flow))
    wire.endpoint.dial(dial("leg", wire.flow), wire.now)
    (invite,) = wire.sent()
    assert isinstance(invite, Request)
    wire.give(reply(invite, 100))
    wire.wait(40)
    assert silent == []
