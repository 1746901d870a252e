"""Our registrations at trunks, carried out: `[[peer]] register` (SIP-11)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from callrec.errors import OperatorError
from callrec.sip.registration import Register, Registration, State
from callrec.sip.uri import Uri

if TYPE_CHECKING:
    from callrec.identifiers import RandomBytes
    from callrec.settings import Peer
    from callrec.sip.events import Flow, Replied
    from callrec.tasks import Tasks

log = logging.getLogger("callrec.signalling")

LEAVING_S = 2.0
"""Seconds that registrars may take to let us go when callrec stops."""
_WHY = {"timeout": "got no answer", "transport": "could not be sent"}


class Ask(Protocol):
    """Sends a REGISTER by a flow; its answer comes to `replied`."""

    def __call__(self, flow: Flow, register: Register, token: str, /) -> None:
        """Send it."""


@dataclass(slots=True)
class _Kept:
    """One registration, its settings, and the token of the REGISTER under way."""

    peer: str
    settings: tuple[str, str]
    registration: Registration
    token: str = ""
    asked: Flow | None = None
    """Where that REGISTER went."""
    others: list[Flow] = field(default_factory=list)
    """Other hosts of the registrar that it could still go to."""


class Registrations:
    """The registrations of all peers that want one."""

    def __init__(
        self,
        targets: Callable[[Uri], Awaitable[Sequence[Flow]]],
        ask: Ask,
        tasks: Tasks,
        random: RandomBytes,
        now: Callable[[], float],
    ) -> None:
        self._targets, self._ask, self._tasks = targets, ask, tasks
        self.on_silence: Callable[[Flow, str], None] = lambda _flow, _cause: None
        """Told which host of a registrar that has others did not answer, and why."""
        self._random, self._now = random, now
        self._kept: dict[str, _Kept] = {}
        self._leaving: list[_Kept] = []
        self._left = asyncio.Event()

    def replace(self, peers: Iterable[Peer]) -> None:
        """Keep the registrations of these peers from now on: what did not change stays, what is gone is taken back."""
        before, self._kept = self._kept, {}
        for peer in peers:
            if not peer.register_at:
                continue
            settings = (peer.register_at, peer.username)
            old = before.get(peer.name)
            if old is not None and old.settings == settings:
                self._kept[peer.name] = before.pop(peer.name)
                if old.registration.state is State.FAILED:
                    old.registration.due = self._now()  # a new password may be what was wanting
            else:
                self._kept[peer.name] = _Kept(peer.name, settings, self._new(peer))
        self._leave(before.values())

    def _new(self, peer: Peer) -> Registration:
        uri = Uri.parse(peer.register_at)
        registrar = Uri(uri.scheme, None, None, uri.host, uri.port, uri.parameters)
        named = Uri(uri.scheme, uri.user or peer.username or "callrec", None, uri.host)
        return Registration(registrar, named, self._random(16).hex(), due=self._now())

    def look(self) -> None:
        """Send what is due."""
        now = self._now()
        for kept in self._kept.values():
            if kept.registration.waits and kept.registration.due <= now:
                self._send(kept, kept.registration.on_due())

    def _send(self, kept: _Kept, register: Register | None) -> None:
        if register is not None:
            kept.token = self._random(8).hex()
            self._tasks.start(f"register {kept.peer}", self._carry_out(kept, register, kept.token))

    async def _carry_out(self, kept: _Kept, register: Register, token: str) -> None:
        try:
            flow, *others = await self._targets(register.registrar)
        except (OperatorError, OSError) as error:
            self._failed(kept, f"has no way there ({error})")
            return
        if kept.token == token:
            kept.asked, kept.others = flow, others
            self._ask(flow, register, token)

    def _goes_elsewhere(self, kept: _Kept, event: Replied) -> bool:
        """Ask the registrar's next host where one did not answer or said 503; False where there is none."""
        if not kept.others or (event.response is not None and event.response.status != 503):
            return False
        register = kept.registration.elsewhere()
        if register is None:
            return False
        if event.response is None and kept.asked is not None:
            self.on_silence(kept.asked, event.cause)  # asked last from now on, until it answers again
        kept.token, kept.asked = self._random(8).hex(), kept.others.pop(0)
        self._ask(kept.asked, register, kept.token)
        return True

    def replied(self, event: Replied) -> bool:
        """Take how a REGISTER ended; False where the event is of something else."""
        kept = next((one for one in (*self._kept.values(), *self._leaving) if one.token == event.token), None)
        if kept is None:
            return False
        kept.token = ""
        if self._goes_elsewhere(kept, event):
            return True
        if event.response is None:
            self._failed(kept, _WHY.get(event.cause, "got no answer"))
            return True
        before = kept.registration.why
        self._send(kept, kept.registration.replied(event.response, self._now(), self._jitter()))
        self._tell(kept, before)
        return True

    def _failed(self, kept: _Kept, why: str) -> None:
        before = kept.registration.why
        kept.registration.failed(why, self._now(), self._jitter())
        self._tell(kept, before)

    def _tell(self, kept: _Kept, before: str | None) -> None:
        why, state = kept.registration.why, kept.registration.state
        if all(one.registration.state is State.GONE for one in self._leaving):
            self._left.set()
        if state is State.FAILED and why != before:
            log.warning("%s", _problem(kept))
        elif state is State.REGISTERED and before is not None:
            log.info("peer %s: registered again", kept.peer)

    def _jitter(self) -> float:
        return self._random(1)[0] / 255

    def problems(self) -> dict[str, str]:
        """Return the registrations that fail now, by a name that stays the same."""
        return {f"register {kept.peer}": _problem(kept) for kept in self._kept.values() if kept.registration.why}

    def _leave(self, kept: Iterable[_Kept]) -> None:
        self._leaving = [one for one in self._leaving if one.registration.state is not State.GONE]
        for one in kept:
            self._leaving.append(one)
            self._send(one, one.registration.leave())

    async def stop(self) -> None:
        """Take every registration back, and wait a little for the registrars to hear it."""
        kept, self._kept = self._kept, {}
        self._leave(kept.values())
        if any(one.registration.state is not State.GONE for one in self._leaving):
            self._left.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(LEAVING_S):
                    await self._left.wait()
        self._leaving.clear()


def _problem(kept: _Kept) -> str:
    return (
        f"peer {kept.peer}: our REGISTER {kept.registration.why}; it sends us no calls until that works: "
        "see register, username and password_file, and that the registrar is among its addresses"
    )
