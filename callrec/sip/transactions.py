"""The transaction layer: copies are absorbed, answers repeated, silence is told (RFC 3261 17, RFC 6026)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

from callrec.sip.building import ack_to_failure
from callrec.sip.message import Request, Response
from callrec.sip.transaction_tables import (
    CLIENT,
    INVITE_CLIENT,
    INVITE_SERVER,
    SERVER,
    Action,
    ClientInput,
    InviteClientInput,
    InviteServerInput,
    Machine,
    ServerInput,
    ServerState,
)

if TYPE_CHECKING:
    from callrec.sip.digest_answer import Answered
    from callrec.sip.events import Flow
    from callrec.sip.timers import Timers

T1 = 0.5
"""Seconds: the estimate of a round trip (RFC 3261 17.1.1.1)."""
T2 = 4.0
"""Seconds: the longest pause between two copies of a request or of a 2xx (RFC 3261 17.1.2.2)."""
T4 = 5.0
"""Seconds: how long a message may lie in the network (RFC 3261 17.1.2.2)."""
GIVE_UP = 64 * T1
"""Seconds after which a side that heard nothing gives up."""

# RFC 3261 table 4. Over a reliable transport nothing is repeated, and nobody needs to wait for copies.
_UNRELIABLE: dict[Enum, float] = {
    InviteClientInput.TIMER_A: T1,
    InviteClientInput.TIMER_B: GIVE_UP,
    InviteClientInput.TIMER_D: GIVE_UP,
    InviteClientInput.TIMER_M: GIVE_UP,
    ClientInput.TIMER_E: T1,
    ClientInput.TIMER_F: GIVE_UP,
    ClientInput.TIMER_K: T4,
    InviteServerInput.TIMER_G: T1,
    InviteServerInput.TIMER_H: GIVE_UP,
    InviteServerInput.TIMER_I: T4,
    InviteServerInput.TIMER_L: GIVE_UP,
    ServerInput.TIMER_F: GIVE_UP,
    ServerInput.TIMER_J: GIVE_UP,
}
_REPEATING = frozenset({InviteClientInput.TIMER_A, ClientInput.TIMER_E, InviteServerInput.TIMER_G})
_AT_ONCE_IF_RELIABLE = frozenset(
    {InviteClientInput.TIMER_D, ClientInput.TIMER_K, InviteServerInput.TIMER_I, ServerInput.TIMER_J}
)
_UNCAPPED = InviteClientInput.TIMER_A  # it doubles until Timer B ends it; E and G stop growing at T2


class Happening(Enum):
    """What a transaction tells its user."""

    RESPONSE = auto()
    ACK = auto()
    TIMEOUT = auto()
    TRANSPORT_ERROR = auto()


class Told(NamedTuple):
    """One thing that happened to a transaction; `message` is the response or the ACK that came."""

    what: Happening
    transaction: Transaction
    message: Request | Response | None


TransactionKey = tuple[object, ...]


class Transaction:
    """One request and what belongs to it; only the layer changes its state."""

    __slots__ = (
        "answers", "data", "flow", "heard", "interval", "key", "machine", "merge_key", "owner", "request", "state",
        "to_tag", "vias", "way",
    )  # fmt: skip

    def __init__(self, machine: Machine, key: TransactionKey, request: Request, flow: Flow) -> None:
        self.machine = machine
        self.state = machine.start
        self.key = key
        self.request = request
        self.flow = flow
        self.way = flow
        """Client: the way that was asked for; `flow` is another where the request was too large for it."""
        self.heard = False
        """Client: whether any response came."""
        self.data = b""
        self.interval = T1
        self.owner: object = None
        self.answers: tuple[Answered, ...] = ()
        """Client: the challenges that the request answers."""
        self.merge_key: TransactionKey | None = None
        self.to_tag = ""
        self.vias: tuple[str, ...] = ()
        """Server: the Via lines of the response, the source of the request noted in the first."""

    @property
    def ended(self) -> bool:
        """Whether it is over and forgotten."""
        return self.state is self.machine.end

    @property
    def is_server(self) -> bool:
        """Whether the request came to us."""
        return self.machine is SERVER or self.machine is INVITE_SERVER

    @property
    def went_by_stream(self) -> bool:
        """Whether a request of ours was too large for the datagram it was to be (RFC 3261 18.1.1)."""
        return self.way != self.flow and not self.is_server

    @property
    def unanswered(self) -> bool:
        """Whether a final response may still be sent (server)."""
        if self.machine is INVITE_SERVER:
            return self.state is INVITE_SERVER.start
        return self.machine is SERVER and self.state in {ServerState.TRYING, ServerState.PROCEEDING}

    def runs(self, timer: Enum, when: float) -> bool:
        """Whether a timer is wanted in this state; none is ever set twice, so the instant says nothing more."""
        return timer in self.machine.timers.get(self.state, ())


class Transactions:
    """All transactions of an endpoint, bounded in number; what happens is put on `told`."""

    def __init__(self, timers: Timers, send: Callable[[bytes, Flow], None], limit: int) -> None:
        self._timers = timers
        self._send = send
        self._limit = limit
        self._transactions: dict[TransactionKey, Transaction] = {}
        self._merging: dict[TransactionKey, Transaction] = {}
        self._by_flow: dict[Flow, dict[Transaction, None]] = {}
        self.told: deque[Told] = deque()

    def __len__(self) -> int:
        return len(self._transactions)

    @property
    def full(self) -> bool:
        """Whether no more requests can be taken."""
        return len(self._transactions) >= self._limit

    def find(self, key: TransactionKey) -> Transaction | None:
        """Return the living transaction of a key."""
        return self._transactions.get(key)

    def find_merged(self, merge_key: TransactionKey) -> Transaction | None:
        """Return the server transaction that took the same request by another way (RFC 3261 8.2.2.2)."""
        return self._merging.get(merge_key)

    # As client.

    def start_client(  # noqa: PLR0913, PLR0917 - what a request has
        self, request: Request, branch: str, flow: Flow, now: float, owner: object, way: Flow | None = None
    ) -> Transaction:
        """Send a request and see to it that it arrives or its failure is told.

        `way` is the way that was asked for, where `flow` is the stream that the request is too large to do without.
        """
        machine = INVITE_CLIENT if request.method == "INVITE" else CLIENT
        transaction = Transaction(machine, client_key(branch, request.method), request, flow)
        transaction.owner, transaction.way = owner, way or flow
        transaction.data = request.serialize()
        self._transactions[transaction.key] = transaction
        self._by_flow.setdefault(flow, {})[transaction] = None
        self._send(transaction.data, flow)
        self._start_timers(transaction, (), now)
        return transaction

    def receive_response(self, transaction: Transaction, response: Response, now: float) -> None:
        """Take a response to a request of ours."""
        transaction.heard = True
        if transaction.machine is CLIENT:
            given: Enum = ClientInput.RECEIVED_1XX if response.status < 200 else ClientInput.RECEIVED_FINAL
        elif response.status < 200:
            given = InviteClientInput.RECEIVED_1XX
        else:
            given = InviteClientInput.RECEIVED_2XX if response.status < 300 else InviteClientInput.RECEIVED_3XX_6XX
        self._step(transaction, given, now, response)

    def transport_failed(self, flow: Flow, now: float) -> None:
        """Tell the client transactions of a flow that nothing they send arrives."""
        for transaction in list(self._by_flow.get(flow, ())):
            self._transport_failed(transaction, now)

    def not_sent(self, data: bytes, flow: Flow, now: float) -> None:
        """Tell the client transaction of one message that its way does not take it; others of the flow go on."""
        for transaction in list(self._by_flow.get(flow, ())):
            if transaction.data == data:
                self._transport_failed(transaction, now)

    def _transport_failed(self, transaction: Transaction, now: float) -> None:
        invite = transaction.machine is INVITE_CLIENT
        self._step(transaction, InviteClientInput.TRANSPORT_ERROR if invite else ClientInput.TRANSPORT_ERROR, now)

    def abandon(self, transaction: Transaction) -> None:
        """Forget a client transaction whose final response will not come (RFC 3261 9.1)."""
        transaction.state = transaction.machine.end
        self._forget(transaction)

    # As server.

    def start_server(
        self, key: TransactionKey, request: Request, flow: Flow, now: float, merge_key: TransactionKey | None = None
    ) -> Transaction:
        """Take a new request; `flow` is the way its responses go."""
        machine = INVITE_SERVER if request.method == "INVITE" else SERVER
        transaction = Transaction(machine, key, request, flow)
        transaction.merge_key = merge_key
        self._transactions[key] = transaction
        if merge_key is not None:
            self._merging[merge_key] = transaction
        self._start_timers(transaction, (), now)
        return transaction

    def receive_copy(self, transaction: Transaction, now: float) -> None:
        """Take a copy of a request that was taken before."""
        invite = transaction.machine is INVITE_SERVER
        self._step(transaction, InviteServerInput.INVITE if invite else ServerInput.REQUEST, now)

    def receive_ack(self, transaction: Transaction, ack: Request, now: float) -> None:
        """Take an ACK that names the branch of an INVITE."""
        self._step(transaction, InviteServerInput.ACK, now, ack)

    def respond(self, transaction: Transaction, response: Response, now: float) -> None:
        """Send a response to a request that is still waiting for one."""
        if transaction.machine is SERVER:
            given: Enum = ServerInput.SEND_1XX if response.status < 200 else ServerInput.SEND_FINAL
        elif response.status < 200:
            given = InviteServerInput.SEND_1XX
        else:
            given = InviteServerInput.SEND_2XX if response.status < 300 else InviteServerInput.SEND_3XX_6XX
        self._step(transaction, given, now, response)

    def resend(self, transaction: Transaction) -> None:
        """Send the last response again: a 2xx until its ACK comes (RFC 3261 13.3.1.4), a 1xx each minute (13.3.1.1)."""
        self._send(transaction.data, transaction.flow)

    # Both.

    def fire(self, transaction: Transaction, timer: Enum, now: float) -> None:
        """Take a timer that is due."""
        self._step(transaction, timer, now)
        if timer in _REPEATING:
            grown = 2 * transaction.interval
            # RFC 3261 17.1.2.2: once a provisional response came, a request repeats only every T2
            waits = timer is ClientInput.TIMER_E and transaction.state is not transaction.machine.start
            transaction.interval = grown if timer is _UNCAPPED else T2 if waits else min(grown, T2)
            self._timers.set(transaction, timer, now + transaction.interval)

    def _step(
        self, transaction: Transaction, given: Enum, now: float, message: Request | Response | None = None
    ) -> None:
        machine, old = transaction.machine, transaction.state
        step = machine.table[old, given]
        transaction.state = step.to
        for action in step.actions:
            self._act(transaction, action, message)
        if step.to is machine.end:
            self._forget(transaction)
        elif step.to is not old:
            self._start_timers(transaction, machine.timers.get(old, ()), now)

    def _act(self, transaction: Transaction, action: Action, message: Request | Response | None) -> None:
        match action:
            case Action.SEND:
                assert message is not None, "internal error: nothing to send"
                transaction.data = message.serialize()
                self._send(transaction.data, transaction.flow)
            case Action.RESEND:
                if transaction.data:
                    self._send(transaction.data, transaction.flow)
            case Action.SEND_ACK:
                assert isinstance(message, Response), "internal error: an ACK without a response"
                self._send(ack_to_failure(transaction.request, message).serialize(), transaction.flow)
            case Action.PASS_UP:
                what = Happening.ACK if isinstance(message, Request) else Happening.RESPONSE
                self.told.append(Told(what, transaction, message))
            case Action.REPORT_TIMEOUT:
                self.told.append(Told(Happening.TIMEOUT, transaction, None))
            case Action.REPORT_TRANSPORT_ERROR:
                self.told.append(Told(Happening.TRANSPORT_ERROR, transaction, None))

    def _start_timers(self, transaction: Transaction, running: tuple[Enum, ...], now: float) -> None:
        reliable = transaction.flow.transport != "udp"
        for timer in transaction.machine.timers.get(transaction.state, ()):
            if timer in running or (reliable and timer in _REPEATING):
                continue
            if reliable and timer in _AT_ONCE_IF_RELIABLE:
                self._step(transaction, timer, now)
                return
            self._timers.set(transaction, timer, now + _UNRELIABLE[timer])

    def _forget(self, transaction: Transaction) -> None:
        if self._transactions.get(transaction.key) is transaction:
            del self._transactions[transaction.key]
        if transaction.merge_key is not None and self._merging.get(transaction.merge_key) is transaction:
            del self._merging[transaction.merge_key]
        of_flow = self._by_flow.get(transaction.flow)
        if of_flow is not None and of_flow.pop(transaction, transaction) is None and not of_flow:
            del self._by_flow[transaction.flow]


def client_key(branch: str, method: str) -> TransactionKey:
    """Return what a response is matched by: the branch of our Via and the method of CSeq (RFC 3261 17.1.3)."""
    return ("client", branch, method)


def server_key(request: Request, method: str) -> TransactionKey:
    """Return what a copy of a request, its ACK or its CANCEL is matched by (RFC 3261 17.2.3).

    `method` is that of the transaction looked for: INVITE for an ACK and, to find what it cancels, for a CANCEL.

    Raises:
        PeerError: where the request lacks what every request has.
    """
    via = request.via
    if via.has_cookie:
        # The Call-ID is more than the RFC asks for: some peers use one branch for several calls.
        return ("server", via.branch, via.sent_by, method, request.call_id)
    # RFC 2543 peers: no branch, or one that need not be unique. The To tag is left out, for only the ACK has ours.
    cseq = request.cseq
    return ("server-2543", request.call_id, request.from_.tag, cseq.number, via.branch, via.sent_by, method)
