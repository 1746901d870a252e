"""The states of a deletion request as a table (domain rule 1.5): `(state, input) -> Step(to, actions)`.

The table is the specification: a row that is not here does not happen. What comes by itself (a start of the recorder,
a hold that was released) has a row in every state but the ends; a command without a row is refused with one sentence.
Ticks and letters change what `request show` lists, not the state.
`docs/state-machines/deletion-request.md` is printed from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from callrec.errors import ExitCode, OperatorError


class RequestState(StrEnum):
    """Where a deletion request stands; the words are those of `request show`."""

    RECEIVED = "received"
    IDENTITY_PENDING = "identity_pending"
    AUTHORISATION_PENDING = "authorisation_pending"
    AUTHORISED = "authorised"
    PARTLY_REFUSED = "partly_refused"
    """Authorised for a part; the rest is held or refused."""
    EXECUTING = "executing"
    VERIFYING = "verifying"
    LEGAL_HOLD = "legal_hold"
    """What may go is gone; the rest was refused with `legal_claims` and waits for its release (LAW-53)."""
    SAR_HOLD = "sar_hold"
    """What may go is gone; the rest waits until the person's access request is answered (LAW-30)."""
    COMPLETED = "completed"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


class RequestInput(StrEnum):
    """What can happen to a deletion request."""

    ASK_IDENTITY = "ask_identity"
    """An acknowledgement went out that asks who writes."""
    VERIFY_FAILED = "verify_failed"
    VERIFY = "verify"
    APPROVE = "approve"
    """A plan is saved in which nothing is kept."""
    APPROVE_PARTLY = "approve_partly"
    """A plan is saved in which something is kept, and why."""
    REFUSE = "refuse"
    EXTEND = "extend"
    WITHDRAW = "withdraw"
    EXECUTE = "execute"
    ERASED = "erased"
    """Every store has reported."""
    STORE_FAILED = "store_failed"
    """A store could not erase, or something could still be read (LAW-36)."""
    VERIFIED = "verified"
    """Read back: nothing is left, and nothing was kept for a hold."""
    VERIFIED_REST_HELD = "verified_rest_held"
    """Read back: nothing is left but what a legal hold keeps."""
    VERIFIED_REST_FOR_ACCESS = "verified_rest_for_access"
    """Read back: nothing is left but what an access request, or a restriction, keeps."""
    HOLD_RELEASED = "hold_released"
    """The last hold or restriction on what was kept is gone."""
    RESTARTED = "restarted"
    """The recorder starts."""


class RequestAction(StrEnum):
    """What is done on the way."""

    RESTART_MONTH = "restart_month"
    """The statutory month begins with the evidence of identity (Article 12A); the promise does not move."""
    SAVE_PLAN = "save_plan"
    DROP_PLAN = "drop_plan"
    MOVE_STATUTORY_CLOCK = "move_statutory_clock"
    ERASE = "erase"
    """Stop what is live and erase in every store; repeating it does no harm."""
    READ_BACK = "read_back"
    """Query every store again and try to read and decrypt (LAW-36)."""
    TELL_APPROVED = "tell_approved"
    TELL_REFUSED = "tell_refused"
    TELL_EXECUTED = "tell_executed"
    TELL_COMPLETED = "tell_completed"


@dataclass(frozen=True, slots=True)
class Step:
    """One row's right-hand side."""

    to: RequestState
    actions: tuple[RequestAction, ...] = ()


Table = Mapping[tuple[RequestState, RequestInput], Step]

_S, _I, _A = RequestState, RequestInput, RequestAction
_REFUSED = Step(_S.REFUSED, (_A.DROP_PLAN, _A.TELL_REFUSED))
_WITHDRAWN = Step(_S.WITHDRAWN, (_A.DROP_PLAN,))
_APPROVED = Step(_S.AUTHORISED, (_A.SAVE_PLAN, _A.TELL_APPROVED))
_PARTLY = Step(_S.PARTLY_REFUSED, (_A.SAVE_PLAN, _A.TELL_APPROVED, _A.TELL_REFUSED))
_EXECUTE = Step(_S.EXECUTING, (_A.ERASE,))
_IDENTIFIED = Step(_S.AUTHORISATION_PENDING, (_A.RESTART_MONTH,))


def _absorb(state: RequestState) -> dict[tuple[RequestState, RequestInput], Step]:
    return {(state, _I.HOLD_RELEASED): Step(state), (state, _I.RESTARTED): Step(state)}


def _answerable(state: RequestState) -> dict[tuple[RequestState, RequestInput], Step]:
    """Return the rows of a state in which nothing is erased yet: it may be refused, withdrawn or extended."""
    return {
        (state, _I.REFUSE): _REFUSED,
        (state, _I.WITHDRAW): _WITHDRAWN,
        **_extendable(state),
        **_absorb(state),
    }


def _extendable(state: RequestState) -> dict[tuple[RequestState, RequestInput], Step]:
    return {(state, _I.EXTEND): Step(state, (_A.MOVE_STATUTORY_CLOCK,))}


def _approvable(state: RequestState) -> dict[tuple[RequestState, RequestInput], Step]:
    return {(state, _I.APPROVE): _APPROVED, (state, _I.APPROVE_PARTLY): _PARTLY}


def _waiting(state: RequestState) -> dict[tuple[RequestState, RequestInput], Step]:
    """Return the rows of a state whose rest is kept: it is queued again by itself (LAW-53), or withdrawn."""
    return {
        (state, _I.HOLD_RELEASED): Step(_S.AUTHORISED, (_A.SAVE_PLAN,)),
        (state, _I.RESTARTED): Step(state),
        (state, _I.WITHDRAW): _WITHDRAWN,
    }


TABLE: Table = {
    **_answerable(_S.RECEIVED),
    (_S.RECEIVED, _I.ASK_IDENTITY): Step(_S.IDENTITY_PENDING),
    (_S.RECEIVED, _I.VERIFY_FAILED): Step(_S.IDENTITY_PENDING),
    (_S.RECEIVED, _I.VERIFY): _IDENTIFIED,
    **_answerable(_S.IDENTITY_PENDING),
    (_S.IDENTITY_PENDING, _I.ASK_IDENTITY): Step(_S.IDENTITY_PENDING),
    (_S.IDENTITY_PENDING, _I.VERIFY_FAILED): Step(_S.IDENTITY_PENDING),
    (_S.IDENTITY_PENDING, _I.VERIFY): _IDENTIFIED,
    **_answerable(_S.AUTHORISATION_PENDING),
    **_approvable(_S.AUTHORISATION_PENDING),
    **_answerable(_S.AUTHORISED),
    **_approvable(_S.AUTHORISED),
    (_S.AUTHORISED, _I.EXECUTE): _EXECUTE,
    **_answerable(_S.PARTLY_REFUSED),
    **_approvable(_S.PARTLY_REFUSED),
    (_S.PARTLY_REFUSED, _I.EXECUTE): _EXECUTE,
    # Neither refused nor withdrawn any more: the ledger has the intent, and the next start would complete it.
    **_extendable(_S.EXECUTING),
    (_S.EXECUTING, _I.EXECUTE): _EXECUTE,
    (_S.EXECUTING, _I.RESTARTED): _EXECUTE,
    (_S.EXECUTING, _I.HOLD_RELEASED): Step(_S.EXECUTING),
    (_S.EXECUTING, _I.STORE_FAILED): Step(_S.EXECUTING),
    (_S.EXECUTING, _I.ERASED): Step(_S.VERIFYING, (_A.TELL_EXECUTED, _A.READ_BACK)),
    **_extendable(_S.VERIFYING),
    (_S.VERIFYING, _I.EXECUTE): _EXECUTE,
    (_S.VERIFYING, _I.RESTARTED): Step(_S.VERIFYING, (_A.READ_BACK,)),
    (_S.VERIFYING, _I.HOLD_RELEASED): Step(_S.VERIFYING),
    (_S.VERIFYING, _I.STORE_FAILED): Step(_S.EXECUTING),
    (_S.VERIFYING, _I.VERIFIED): Step(_S.COMPLETED, (_A.TELL_COMPLETED,)),
    (_S.VERIFYING, _I.VERIFIED_REST_HELD): Step(_S.LEGAL_HOLD),
    (_S.VERIFYING, _I.VERIFIED_REST_FOR_ACCESS): Step(_S.SAR_HOLD),
    **_waiting(_S.LEGAL_HOLD),
    **_waiting(_S.SAR_HOLD),
    **_extendable(_S.SAR_HOLD),
}


@dataclass(frozen=True, slots=True)
class RequestMachine:
    """The table with what surrounds it: where it starts and ends, and what happens whether or not anybody asks."""

    name: str
    source: str
    table: Table
    start: RequestState
    ends: frozenset[RequestState]
    from_outside: frozenset[RequestInput]
    """Inputs that nobody commands: each has a row in every state but the ends."""


ENDS = frozenset({RequestState.COMPLETED, RequestState.REFUSED, RequestState.WITHDRAWN})
DELETION_REQUEST = RequestMachine(
    name="deletion-request",
    source="Domain rule 1.5, with LAW-22, LAW-30, LAW-34, LAW-36 and LAW-53",
    table=TABLE,
    start=RequestState.RECEIVED,
    ends=ENDS,
    from_outside=frozenset({RequestInput.HOLD_RELEASED, RequestInput.RESTARTED}),
)


def is_open(state: RequestState) -> bool:
    """Say whether anything can still happen to a request in this state."""
    return state not in ENDS


def take(state: RequestState, given: RequestInput) -> Step:
    """Return the step of a request.

    Raises:
        OperatorError: with exit code 5 if this cannot happen in its state; nothing is to be changed then.
    """
    step = TABLE.get((state, given))
    if step is None:
        places = [other.value for other in RequestState if (other, given) in TABLE]
        raise OperatorError(
            f"found the request in state {state}, expected {_listed(places)} for {_said(given)}; {_NEXT[state]}",
            exit_code=ExitCode.REFUSED,
        )
    return step


def commands(state: RequestState) -> tuple[RequestInput, ...]:
    """Return what a person may do next."""
    return tuple(given for given in _COMMANDS if (state, given) in TABLE)


_COMMANDS = (_I.VERIFY, _I.APPROVE, _I.EXECUTE, _I.REFUSE, _I.EXTEND, _I.WITHDRAW)
_NEXT: Mapping[RequestState, str] = {
    _S.RECEIVED: "next is `request verify`",
    _S.IDENTITY_PENDING: "next is `request verify`",
    _S.AUTHORISATION_PENDING: "next is `request approve` or `request refuse`",
    _S.AUTHORISED: "next is `request execute`",
    _S.PARTLY_REFUSED: "next is `request execute`",
    _S.EXECUTING: "it is being carried out",
    _S.VERIFYING: "it is being verified",
    _S.LEGAL_HOLD: "it is queued again when the hold is released, and then executed",
    _S.SAR_HOLD: "it is queued again when what keeps the rest is lifted, and then executed",
    _S.COMPLETED: "a new wish is a new request",
    _S.REFUSED: "a new wish is a new request",
    _S.WITHDRAWN: "a new wish is a new request",
}


def _said(given: RequestInput) -> str:
    return f"`request {given}`" if given in _COMMANDS else str(given)


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
