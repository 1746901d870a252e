"""Registrations that fail are told, retried, and follow a reload (SIP-11)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
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
        self.tasks = Tasks("test")
        self.registrations = Registrations(self.resolve, self.ask, self.tasks, seeded(1), lambda: self.now)

    async def resolve(self, uri: Uri) -> Flow:
        if uri.host == "nowhere.example":
            raise OSError("no such name")
        return FLOW

    def ask(self, _flow: Flow, register: Register, token: str, /) -> None:
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
