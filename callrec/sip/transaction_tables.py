"""The four transactions of RFC 3261 17, with RFC 6026, as tables: `(state, input) -> Step(to, actions)`.

The table is the specification: a row that is not here does not happen. Whatever comes from the network or from a
timer has a row in every state, if only to absorb it; for our own sending an absent row is a programming error.
`docs/state-machines/` is printed from these tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto


class Action(Enum):
    """What a transaction does when it takes a step."""

    SEND = auto()
    """Send the message just handed in, and keep it for repeating."""
    RESEND = auto()
    """Send the last message again."""
    SEND_ACK = auto()
    """Send the ACK that belongs to the final response just received (RFC 3261 17.1.1.3)."""
    PASS_UP = auto()
    """Hand the message just received to the user."""
    REPORT_TIMEOUT = auto()
    """Tell the user that nobody answered."""
    REPORT_TRANSPORT_ERROR = auto()
    """Tell the user that the way is broken."""


@dataclass(frozen=True, slots=True)
class Step:
    """One row's right-hand side: the state that follows and what is done on the way."""

    to: Enum
    actions: tuple[Action, ...] = ()


Table = Mapping[tuple[Enum, Enum], Step]


@dataclass(frozen=True, slots=True)
class Machine:
    """A table with what surrounds it: where it starts and ends, and which timers run in which state."""

    name: str
    source: str
    table: Table
    timers: Mapping[Enum, tuple[Enum, ...]]
    """A timer is started on entering the first state that names it, and is dead in a state that does not."""
    start: Enum
    end: Enum
    from_outside: frozenset[Enum]
    """Inputs that the network decides: each has a row in every state but the end."""


class InviteClientState(Enum):
    """The states of RFC 6026 figure 5 (INVITE client)."""

    CALLING = auto()
    PROCEEDING = auto()
    ACCEPTED = auto()
    COMPLETED = auto()
    TERMINATED = auto()


class InviteClientInput(Enum):
    """What can happen to an INVITE client transaction."""

    RECEIVED_1XX = auto()
    RECEIVED_2XX = auto()
    RECEIVED_3XX_6XX = auto()
    TIMER_A = auto()
    TIMER_B = auto()
    TIMER_D = auto()
    TIMER_M = auto()
    TRANSPORT_ERROR = auto()


class ClientState(Enum):
    """The states of RFC 3261 figure 6 (non-INVITE client)."""

    TRYING = auto()
    PROCEEDING = auto()
    COMPLETED = auto()
    TERMINATED = auto()


class ClientInput(Enum):
    """What can happen to a non-INVITE client transaction."""

    RECEIVED_1XX = auto()
    RECEIVED_FINAL = auto()
    TIMER_E = auto()
    TIMER_F = auto()
    TIMER_K = auto()
    TRANSPORT_ERROR = auto()


class InviteServerState(Enum):
    """The states of RFC 6026 figure 7 (INVITE server)."""

    PROCEEDING = auto()
    ACCEPTED = auto()
    COMPLETED = auto()
    CONFIRMED = auto()
    TERMINATED = auto()


class InviteServerInput(Enum):
    """What can happen to an INVITE server transaction."""

    INVITE = auto()
    ACK = auto()
    SEND_1XX = auto()
    SEND_2XX = auto()
    SEND_3XX_6XX = auto()
    TIMER_G = auto()
    TIMER_H = auto()
    TIMER_I = auto()
    TIMER_L = auto()
    TRANSPORT_ERROR = auto()


class ServerState(Enum):
    """The states of RFC 3261 figure 8 (non-INVITE server)."""

    TRYING = auto()
    PROCEEDING = auto()
    COMPLETED = auto()
    TERMINATED = auto()


class ServerInput(Enum):
    """What can happen to a non-INVITE server transaction."""

    REQUEST = auto()
    SEND_1XX = auto()
    SEND_FINAL = auto()
    TIMER_F = auto()
    TIMER_J = auto()
    TRANSPORT_ERROR = auto()


def _invite_client() -> Machine:
    s, i, a = InviteClientState, InviteClientInput, Action
    table: dict[tuple[Enum, Enum], Step] = {
        (s.CALLING, i.RECEIVED_1XX): Step(s.PROCEEDING, (a.PASS_UP,)),
        (s.CALLING, i.RECEIVED_2XX): Step(s.ACCEPTED, (a.PASS_UP,)),
        (s.CALLING, i.RECEIVED_3XX_6XX): Step(s.COMPLETED, (a.SEND_ACK, a.PASS_UP)),
        (s.CALLING, i.TIMER_A): Step(s.CALLING, (a.RESEND,)),
        (s.CALLING, i.TIMER_B): Step(s.TERMINATED, (a.REPORT_TIMEOUT,)),
        (s.CALLING, i.TRANSPORT_ERROR): Step(s.TERMINATED, (a.REPORT_TRANSPORT_ERROR,)),
        # Timer B does not run here: ringing may last minutes.
        (s.PROCEEDING, i.RECEIVED_1XX): Step(s.PROCEEDING, (a.PASS_UP,)),
        (s.PROCEEDING, i.RECEIVED_2XX): Step(s.ACCEPTED, (a.PASS_UP,)),
        (s.PROCEEDING, i.RECEIVED_3XX_6XX): Step(s.COMPLETED, (a.SEND_ACK, a.PASS_UP)),
        # Beyond figure 5: a far side that died while ringing is told at once, not at the end of the user's patience.
        (s.PROCEEDING, i.TRANSPORT_ERROR): Step(s.TERMINATED, (a.REPORT_TRANSPORT_ERROR,)),
        (s.ACCEPTED, i.RECEIVED_1XX): Step(s.ACCEPTED),
        (s.ACCEPTED, i.RECEIVED_2XX): Step(s.ACCEPTED, (a.PASS_UP,)),  # a copy, or another branch of a fork
        (s.ACCEPTED, i.RECEIVED_3XX_6XX): Step(s.ACCEPTED),
        (s.ACCEPTED, i.TIMER_M): Step(s.TERMINATED),
        (s.ACCEPTED, i.TRANSPORT_ERROR): Step(s.ACCEPTED),
        (s.COMPLETED, i.RECEIVED_1XX): Step(s.COMPLETED),
        (s.COMPLETED, i.RECEIVED_2XX): Step(s.COMPLETED),
        (s.COMPLETED, i.RECEIVED_3XX_6XX): Step(s.COMPLETED, (a.SEND_ACK,)),
        (s.COMPLETED, i.TIMER_D): Step(s.TERMINATED),
        (s.COMPLETED, i.TRANSPORT_ERROR): Step(s.TERMINATED, (a.REPORT_TRANSPORT_ERROR,)),
    }
    return Machine(
        name="invite-client",
        source="RFC 3261 17.1.1, RFC 6026 8.4",
        table=table,
        timers={s.CALLING: (i.TIMER_A, i.TIMER_B), s.ACCEPTED: (i.TIMER_M,), s.COMPLETED: (i.TIMER_D,)},
        start=s.CALLING,
        end=s.TERMINATED,
        from_outside=frozenset({i.RECEIVED_1XX, i.RECEIVED_2XX, i.RECEIVED_3XX_6XX, i.TRANSPORT_ERROR}),
    )


def _client() -> Machine:
    s, i, a = ClientState, ClientInput, Action
    table: dict[tuple[Enum, Enum], Step] = {
        (s.TRYING, i.RECEIVED_1XX): Step(s.PROCEEDING, (a.PASS_UP,)),
        (s.TRYING, i.RECEIVED_FINAL): Step(s.COMPLETED, (a.PASS_UP,)),
        (s.TRYING, i.TIMER_E): Step(s.TRYING, (a.RESEND,)),
        (s.TRYING, i.TIMER_F): Step(s.TERMINATED, (a.REPORT_TIMEOUT,)),
        (s.TRYING, i.TRANSPORT_ERROR): Step(s.TERMINATED, (a.REPORT_TRANSPORT_ERROR,)),
        (s.PROCEEDING, i.RECEIVED_1XX): Step(s.PROCEEDING, (a.PASS_UP,)),
        (s.PROCEEDING, i.RECEIVED_FINAL): Step(s.COMPLETED, (a.PASS_UP,)),
        (s.PROCEEDING, i.TIMER_E): Step(s.PROCEEDING, (a.RESEND,)),
        (s.PROCEEDING, i.TIMER_F): Step(s.TERMINATED, (a.REPORT_TIMEOUT,)),
        (s.PROCEEDING, i.TRANSPORT_ERROR): Step(s.TERMINATED, (a.REPORT_TRANSPORT_ERROR,)),
        (s.COMPLETED, i.RECEIVED_1XX): Step(s.COMPLETED),
        (s.COMPLETED, i.RECEIVED_FINAL): Step(s.COMPLETED),
        (s.COMPLETED, i.TIMER_K): Step(s.TERMINATED),
        (s.COMPLETED, i.TRANSPORT_ERROR): Step(s.COMPLETED),
    }
    running = (i.TIMER_E, i.TIMER_F)
    return Machine(
        name="client",
        source="RFC 3261 17.1.2",
        table=table,
        timers={s.TRYING: running, s.PROCEEDING: running, s.COMPLETED: (i.TIMER_K,)},
        start=s.TRYING,
        end=s.TERMINATED,
        from_outside=frozenset({i.RECEIVED_1XX, i.RECEIVED_FINAL, i.TRANSPORT_ERROR}),
    )


def _invite_server() -> Machine:
    s, i, a = InviteServerState, InviteServerInput, Action
    table: dict[tuple[Enum, Enum], Step] = {
        # No timer for the 100: the endpoint sends it with the first step.
        (s.PROCEEDING, i.INVITE): Step(s.PROCEEDING, (a.RESEND,)),
        (s.PROCEEDING, i.ACK): Step(s.PROCEEDING),  # stray: absorb
        (s.PROCEEDING, i.SEND_1XX): Step(s.PROCEEDING, (a.SEND,)),
        (s.PROCEEDING, i.SEND_2XX): Step(s.ACCEPTED, (a.SEND,)),
        (s.PROCEEDING, i.SEND_3XX_6XX): Step(s.COMPLETED, (a.SEND,)),
        (s.PROCEEDING, i.TRANSPORT_ERROR): Step(s.PROCEEDING, (a.REPORT_TRANSPORT_ERROR,)),  # RFC 6026 8.8: stay
        (s.ACCEPTED, i.INVITE): Step(s.ACCEPTED),  # RFC 6026 7.1: absorb, the 2xx repeats by its own timer
        (s.ACCEPTED, i.SEND_2XX): Step(s.ACCEPTED, (a.SEND,)),
        (s.ACCEPTED, i.ACK): Step(s.ACCEPTED, (a.PASS_UP,)),
        (s.ACCEPTED, i.TIMER_L): Step(s.TERMINATED),
        (s.ACCEPTED, i.TRANSPORT_ERROR): Step(s.ACCEPTED, (a.REPORT_TRANSPORT_ERROR,)),
        (s.COMPLETED, i.INVITE): Step(s.COMPLETED, (a.RESEND,)),
        (s.COMPLETED, i.TIMER_G): Step(s.COMPLETED, (a.RESEND,)),
        (s.COMPLETED, i.ACK): Step(s.CONFIRMED),
        (s.COMPLETED, i.TIMER_H): Step(s.TERMINATED, (a.REPORT_TIMEOUT,)),
        (s.COMPLETED, i.TRANSPORT_ERROR): Step(s.COMPLETED, (a.REPORT_TRANSPORT_ERROR,)),
        (s.CONFIRMED, i.INVITE): Step(s.CONFIRMED),  # late copy: absorb
        (s.CONFIRMED, i.ACK): Step(s.CONFIRMED),
        (s.CONFIRMED, i.TRANSPORT_ERROR): Step(s.CONFIRMED),
        (s.CONFIRMED, i.TIMER_I): Step(s.TERMINATED),
    }
    return Machine(
        name="invite-server",
        source="RFC 3261 17.2.1, RFC 6026 8.7",
        table=table,
        timers={s.ACCEPTED: (i.TIMER_L,), s.COMPLETED: (i.TIMER_G, i.TIMER_H), s.CONFIRMED: (i.TIMER_I,)},
        start=s.PROCEEDING,
        end=s.TERMINATED,
        from_outside=frozenset({i.INVITE, i.ACK, i.TRANSPORT_ERROR}),
    )


def _server() -> Machine:
    s, i, a = ServerState, ServerInput, Action
    table: dict[tuple[Enum, Enum], Step] = {
        (s.TRYING, i.REQUEST): Step(s.TRYING),
        (s.TRYING, i.SEND_1XX): Step(s.PROCEEDING, (a.SEND,)),
        (s.TRYING, i.SEND_FINAL): Step(s.COMPLETED, (a.SEND,)),
        # Beyond figure 8: at the client's Timer F it has given up, and a 408 would come too late (RFC 4320 4.2).
        (s.TRYING, i.TIMER_F): Step(s.TERMINATED),
        (s.TRYING, i.TRANSPORT_ERROR): Step(s.TRYING, (a.REPORT_TRANSPORT_ERROR,)),  # RFC 6026 8.8: stay
        (s.PROCEEDING, i.REQUEST): Step(s.PROCEEDING, (a.RESEND,)),
        (s.PROCEEDING, i.SEND_1XX): Step(s.PROCEEDING, (a.SEND,)),
        (s.PROCEEDING, i.SEND_FINAL): Step(s.COMPLETED, (a.SEND,)),
        (s.PROCEEDING, i.TIMER_F): Step(s.TERMINATED),
        (s.PROCEEDING, i.TRANSPORT_ERROR): Step(s.PROCEEDING, (a.REPORT_TRANSPORT_ERROR,)),
        (s.COMPLETED, i.REQUEST): Step(s.COMPLETED, (a.RESEND,)),
        (s.COMPLETED, i.TIMER_J): Step(s.TERMINATED),
        (s.COMPLETED, i.TRANSPORT_ERROR): Step(s.COMPLETED, (a.REPORT_TRANSPORT_ERROR,)),
    }
    return Machine(
        name="server",
        source="RFC 3261 17.2.2",
        table=table,
        timers={s.TRYING: (i.TIMER_F,), s.PROCEEDING: (i.TIMER_F,), s.COMPLETED: (i.TIMER_J,)},
        start=s.TRYING,
        end=s.TERMINATED,
        from_outside=frozenset({i.REQUEST, i.TRANSPORT_ERROR}),
    )


INVITE_CLIENT = _invite_client()
CLIENT = _client()
INVITE_SERVER = _invite_server()
SERVER = _server()
MACHINES = (INVITE_CLIENT, CLIENT, INVITE_SERVER, SERVER)
