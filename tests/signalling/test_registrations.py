"""Registrations that fail are told, retried, and follow a reload (SIP-11)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from callrec.settings import Peer
from callrec.signalling.registrations import Registrations
from callrec.sip.events import Address, Flow, Replied
from callrec.sip.message import Response, parse_message
from callrec.sip.registration import Register
from callrec.sip.uri import Uri
from callrec.tasks import Tasks
from tests.support.pair import seeded

FLOW = Flow("udp", Address("127.0.0.1", 5060), Address("127.0.0.2", 5060))


def peer(**changed: Any) -> Peer:
    """Return a trunk where we register."""
    plain: Mapping[str, Any] = {
        "name": "trunk", "addresses": ["127.0.0.2"], "role": "trunk", "register": "sip:127.0.0.2"
    }  # fmt: skip
    return Peer.model_validate({**plain, **changed})


def answer(status: int) -> Response:
    """Return a response to a REGISTER."""
    lines = [f"SIP/2.0 {status} X", "Via: SIP/2.0/UDP h;branch=z9hG4bK1", "From: <sip:a@b>;tag=1"]
    lines += ["To: <sip:a@b>;tag=2", "Call-ID: call", "CSeq: 1 REGISTER", "Content-Length: 0", "", ""]
    found = parse_message("\r\n".join(lines).encode())
    assert isinstance(found, Response)
    return found


class Trunk:
    """Registrations, what they sent, and a clock."""

    def __init__(self) -> None:
        self.sent: list[tuple[Register, str]] = []
        self.now = 0.0
        self.flows, self.asked, self.silent = [FLOW], list[Flow](), list[Flow]()
        self.tasks = Tasks("test")
        self.registrations = Registrations(self.targets, self.ask, self.tasks, seeded(1), lambda: self.now)
        self.registrations.on_silence = lambda flow, _: self.silent.append(flow)

    async def targets(self, uri: Uri) -> Sequence[Flow]:
        if uri.host == "nowhere.example":
            raise OSError("no such name")
        return self.flows

    def ask(self, flow: Flow, register: Register, token: str, /) -> None:
        self.asked.append(flow)
        self.sent.append((register, token))

    async def look(self) -> list[tuple[Register, str]]:
        """Let what is due be sent, and return it."""
        self.registrations.look()
        return await self.settle()

    async def settle(self) -> list[tuple[Register, str]]:
        for _ in range(5):  # turns of the loop: nothing here waits for anything else
            await asyncio.sleep(0)
        sent, self.sent = self.sent, []
        return sent

    def reply(self, token: str, status: int | None) -> bool:
        response = None if status is None else answer(status)
        return self.registrations.replied(Replied("", token, response, "timeout" if status is None else "response"))


async def test_a_registration_that_fails_is_a_problem_until_it_works() -> None:
    """Refused, unanswered, or of a name that cannot be found: `peer_down` says so, and clears with the first 200."""
    trunk = Trunk()
    trunk.registrations.replace([peer()])
    ((_, token),) = await trunk.look()
    assert trunk.registrations.problems() == {}
    assert trunk.reply(token, 403)
    (text,) = trunk.registrations.problems().values()
    assert "was answered 403" in text
    assert await trunk.look() == [], "the next try has its time"
    trunk.now = 31.0
    ((_, token),) = await trunk.look()
    trunk.reply(token, None)
    (text,) = trunk.registrations.problems().values()
    assert "got no answer" in text
    trunk.now = 200.0
    ((_, token),) = await trunk.look()
    trunk.reply(token, 200)
    assert trunk.registrations.problems() == {}
    trunk.registrations.replace([peer(register="sip:nowhere.example")])
    await trunk.look()
    (text,) = trunk.registrations.problems().values()
    assert "no such name" in text


async def test_a_reload_keeps_what_did_not_change_and_leaves_what_is_gone() -> None:
    """SIGHUP: the same registration stays; another user or registrar is a new one, and the old is taken back."""
    trunk = Trunk()
    trunk.registrations.replace([peer()])
    ((first, token),) = await trunk.look()
    trunk.reply(token, 200)
    trunk.registrations.replace([peer()])
    assert await trunk.look() == []
    trunk.registrations.replace([peer(username="other", password_file="/run/other")])
    ((gone, _),) = await trunk.settle()
    assert (gone.expires, gone.call_id) == (0, first.call_id)
    ((new, _),) = await trunk.look()
    assert (new.expires, new.address_of_record.user) == (3600, "other")
    assert new.call_id != first.call_id


async def test_stopping_waits_for_the_registrar_but_not_for_ever() -> None:
    """The socket stays until the registrar has heard that we leave."""
    trunk = Trunk()
    trunk.registrations.replace([peer()])
    ((_, token),) = await trunk.look()
    trunk.reply(token, 200)
    stopping = Tasks("test").start("stop", trunk.registrations.stop())
    await asyncio.sleep(0)
    ((last, token),) = await trunk.settle()
    assert last.expires == 0
    assert not stopping.done()
    trunk.reply(token, 200)
    await asyncio.wait_for(stopping, 1)


def test_the_answer_to_another_question_is_not_taken() -> None:
    """OPTIONS have tokens of their own."""
    assert not Trunk().reply("of somebody else", 200)


async def test_a_registrar_with_two_hosts_is_asked_at_the_second_where_the_first_is_dead() -> None:
    """RFC 3263 4.3, SIP-13: silence and 503 lead to the next host at once; any other answer is the registrar's word."""
    trunk, second = Trunk(), Flow("udp", Address("127.0.0.1", 5060), Address("127.0.0.3", 5060))
    trunk.flows = [FLOW, second]
    trunk.registrations.replace([peer()])
    ((first, token),) = await trunk.look()
    trunk.registrations.replied(Replied("", token, None, "timeout"))
    ((again, token),) = await trunk.settle()
    assert trunk.asked == [FLOW, second]
    assert trunk.silent == [FLOW], "it is watched until it answers again"
    assert again.cseq == first.cseq + 1
    assert again.call_id == first.call_id
    trunk.registrations.replied(Replied("", token, answer(200), "response"))
    assert not trunk.registrations.problems()


async def test_a_registrar_whose_hosts_all_say_503_has_failed() -> None:
    """Each is asked once, then the pause of a failure counts."""
    trunk, second = Trunk(), Flow("udp", Address("127.0.0.1", 5060), Address("127.0.0.3", 5060))
    trunk.flows = [FLOW, second]
    trunk.registrations.replace([peer()])
    ((_, token),) = await trunk.look()
    trunk.registrations.replied(Replied("", token, answer(503), "response"))
    ((_, token),) = await trunk.settle()
    trunk.registrations.replied(Replied("", token, answer(503), "response"))
    assert await trunk.settle() == []
    assert not trunk.silent
    assert "503" in trunk.registrations.problems()["register trunk"]


async def test_a_refusal_is_not_asked_of_another_host() -> None:
    """403 is the registrar's word, whichever host said it."""
    trunk = Trunk()
    trunk.flows = [FLOW, Flow("udp", Address("127.0.0.1", 5060), Address("127.0.0.3", 5060))]
    trunk.registrations.replace([peer()])
    ((_, token),) = await trunk.look()
    trunk.registrations.replied(Replied("", token, answer(403), "response"))
    assert await trunk.settle() == []
