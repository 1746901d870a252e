"""The thin driver: receive, tell, send, and one timer (aioquic's manner)."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Protocol

from callrec.clock import Clock, SystemClock
from callrec.errors import OperatorError
from callrec.identifiers import new_id
from callrec.signalling.certificates import TlsFiles
from callrec.signalling.counters import Counters
from callrec.signalling.hooks import Hooks
from callrec.signalling.passwords import read_passwords
from callrec.signalling.rate_limit import RateLimit
from callrec.signalling.reachability import Reachability
from callrec.signalling.registrations import Registrations
from callrec.signalling.resolver import Resolver
from callrec.signalling.routes import Routes
from callrec.signalling.streams import Streams
from callrec.signalling.tcp import TcpLimits
from callrec.signalling.transports import Transports
from callrec.sip.endpoint import Endpoint, EndpointProfile
from callrec.sip.events import Address, Event, Flow, Replied
from callrec.sip.framing import is_keep_alive
from callrec.sip.session_timer import WANTED, Wanted
from callrec.sip.uri import Uri
from callrec.tasks import Tasks

if TYPE_CHECKING:
    from callrec.errors import PeerError
    from callrec.identifiers import RandomBytes
    from callrec.settings import Peer
    from callrec.signalling.peers import Peers
    from callrec.signalling.sockets import Listening
    from callrec.sip.digest_answer import Credentials as DigestCredentials
    from callrec.sip.message import Request
    from callrec.sip.registration import Register

log = logging.getLogger("callrec.signalling")

SWEEP_S = 1.0
"""Seconds between looks at idle and slow connections."""
ROUNDS = 8
"""Times that what is told and sent may lead to more of it before others get a turn."""
NAMES_AT_START_S = 2.0
"""Seconds that names may keep us from listening."""


class Tap(Protocol):
    """Looks at messages; it must neither block nor raise."""

    def __call__(self, data: bytes, flow: Flow, *, sent: bool) -> None:
        """Look at one message."""


def _ready() -> tuple[int, Sequence[tuple[str, str]]]:
    return 200, ()


def _spares_nobody(_request: Request, _peer: Peer) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class DriverSettings:
    """What the driver needs to know; `listen` holds texts such as `udp://127.0.0.1:5070`."""

    listen: Sequence[str]
    advertise: str = ""
    dns_servers: Sequence[tuple[str, int]] = ()
    """IP address and port of each; none stands for those of the system."""
    user_agent: str = "callrec"
    supported: tuple[str, ...] = ()
    session_timer: Wanted = WANTED
    spares: Callable[[Request, Peer], bool] = _spares_nobody
    """Whether an INVITE of a peer is never challenged, nor refused for its session timer."""
    options_reply: Callable[[], tuple[int, Sequence[tuple[str, str]]]] = _ready
    max_transactions: int = 50_000
    max_legs: int = 10_000
    tcp: TcpLimits = field(default_factory=TcpLimits)
    """Of TCP and, apart from it, of TLS."""
    tls: TlsFiles = field(default_factory=TlsFiles)


class Driver:
    """Carries bytes between sockets and one endpoint, and its events to `on_event`.

    Wishes are made on `endpoint` directly; what they have to send leaves in the next turn of the loop.
    """

    def __init__(
        self,
        settings: DriverSettings,
        peers: Peers,
        on_event: Callable[[Event], None],
        *,
        clock: Clock | None = None,
        random: RandomBytes = secrets.token_bytes,
    ) -> None:
        self._clock = clock or SystemClock()
        self._settings = settings
        self._on_event = on_event
        self.counters = Counters()
        self._tasks = Tasks("signalling")
        self._passwords = read_passwords(peers)
        self._streams = Streams(
            lambda host: self._routes.local_for("tcp", host),
            lambda flow, within: self._transports.is_open(flow, within),  # noqa: PLW0108 - they are made with this
            self._clock.monotonic,
        )
        self._transports = Transports(self.counters, self._tasks, self._hooks(), settings.tcp, lambda: self.peers)
        resolver = Resolver(settings.dns_servers, self._tasks, self._clock.monotonic)
        self._routes = Routes(peers, settings.advertise, resolver, random, self._transports.places)
        self._destinations: Sequence[Uri] = ()
        self.reachability = Reachability(
            self._peer_at, self._ask_options, lambda: new_id(random), self._clock.monotonic, self._transports.fault_of
        )
        self.endpoint = Endpoint(self._profile(), random)
        self.registrations = Registrations(self.targets, self._register, self._tasks, random, self._clock.monotonic)
        self.registrations.on_silence = self.reachability.call_failed
        self._timer: asyncio.TimerHandle | None = None
        self._planned: asyncio.Handle | None = None
        self._in_round = False
        self.tap: Tap | None = None
        """Shown every message that came from a peer and every one that goes."""
        self._complaints = RateLimit(5, 10.0)

    def _hooks(self) -> Hooks:
        return Hooks(
            is_known=self._is_known,
            receive=self._receive,
            read_all=self._round,
            failed=self._transport_failed,
            not_sent=self._not_sent,
            now=self._clock.monotonic,
            connected=self._streams.connected,
            unconnected=self._streams.unconnected,
            patience=self._streams.patience,
        )

    def _profile(self) -> EndpointProfile:
        settings = self._settings
        return EndpointProfile(
            user_agent=settings.user_agent,
            advertise=self._routes.advertise,
            supported=settings.supported,
            session_timer=settings.session_timer,
            spares=self._spares,
            options_reply=settings.options_reply,
            route=self._routes.route_in_dialog,
            stream=self._streams.beside,
            reply_to_source=self._is_behind_nat,
            takes_refer=self._may_transfer,
            on_silence=self.reachability.call_failed,
            credentials=self._credentials_for,
            challenge=self._wanted_of,
            wake=self.flush,
            max_transactions=settings.max_transactions,
            max_legs=settings.max_legs,
        )

    def _is_behind_nat(self, flow: Flow) -> bool:
        peer = self.peer_of(flow)
        return peer is not None and peer.nat

    def _may_transfer(self, flow: Flow) -> bool:
        peer = self.peer_of(flow)
        return peer is not None and peer.may_transfer

    def _credentials_for(self, flow: Flow) -> DigestCredentials | None:
        peer = self.peer_of(flow)
        return self._passwords.get(peer.name) if peer is not None and peer.username else None

    def _wanted_of(self, _request: Request, flow: Flow) -> DigestCredentials | None:
        peer = self.peer_of(flow)
        return self._passwords.get(peer.name) if peer is not None and peer.challenge else None

    def _spares(self, request: Request, flow: Flow) -> bool:
        peer = self.peer_of(flow)
        return peer is not None and self._settings.spares(request, peer)

    def _peer_at(self, address: Address) -> Peer | None:
        return self.peers.match(address)

    def _is_known(self, address: Address) -> bool:
        return self._routes.is_known(address)

    def _register(self, flow: Flow, register: Register, token: str) -> None:
        self.endpoint.register(flow, register, token, self._clock.monotonic())

    def _ask_options(self, flow: Flow, token: str) -> None:
        self.endpoint.ask_options(flow, token, self._clock.monotonic())

    # Life.

    async def start(self) -> None:
        """Listen everywhere, or nowhere.

        Raises:
            OperatorError: exit 78 where a place cannot be had.
        """
        with suppress(TimeoutError):  # a dead DNS must not keep the calls of all others waiting; it is asked again
            async with asyncio.timeout(NAMES_AT_START_S):
                await self.look_up_peers()
        try:
            self._transports.bind(self._settings.listen, self._settings.tls)
        except BaseException:
            await self.stop()
            raise
        await self._transports.start()
        self.registrations.replace(self.peers)
        self._tasks.start("sweep", self._sweep())
        self._tasks.start("names", self._look_up())
        self.flush()

    async def stop(self) -> None:
        """Leave where we are registered, send what is waiting, close every socket, end every task."""
        await self.registrations.stop()
        self._round()
        for planned in (self._timer, self._planned):
            if planned is not None:
                planned.cancel()
        self._timer = self._planned = None
        await self._transports.stop()
        await self._tasks.stop()

    @property
    def listening(self) -> tuple[Listening, ...]:
        """Where we listen, with the ports that were given out for port 0."""
        return tuple(self._transports.places)

    # What a user needs beside the endpoint.

    @property
    def peers(self) -> Peers:
        """Who may speak to us."""
        return self._routes.peers

    def replace_peers(self, peers: Peers) -> None:
        """Let other peers speak to us from now on (reload); calls that are up go on."""
        self._routes.peers = peers
        self._passwords = read_passwords(peers)
        self.registrations.replace(peers)

    def reload_certificates(self) -> None:
        """Read the files of TLS anew, for connections to come; where one cannot be used, the old ones stay.

        Raises:
            OperatorError: exit 78 where one cannot be used.
        """
        self._transports.reload(self._settings.tls)

    @property
    def uses_tls(self) -> bool:
        """Whether a place of `sip.listen` is one of TLS."""
        return self._transports.uses_tls

    def watch(self, destinations: Iterable[str]) -> None:
        """Say where calls go, so that the peers among these that are to be asked by OPTIONS are asked."""
        self._destinations = tuple(Uri.parse(text) for text in dict.fromkeys(destinations))
        if self._transports.places:  # else `start` does it
            self._tasks.start("destinations", self._find_destinations())

    def peer_of(self, flow: Flow) -> Peer | None:
        """Return the peer at the far end of a flow: over TLS by its certificate where it is known by that."""
        if flow.transport == "tls":
            return self.peers.identify(flow.remote, self._transports.names_of(flow))
        return self.peers.in_clear(flow.remote)

    async def look_up_peers(self) -> None:
        """Find the addresses of peers that are given by name, now."""
        await self.peers.look_up(self._routes.locator.hosts)

    async def resolve(self, uri: Uri) -> Flow:
        """Return the first of `targets`."""
        return (await self.targets(uri))[0]

    async def targets(self, uri: Uri) -> tuple[Flow, ...]:
        """Return the ways to a SIP URI in the order in which they are tried, for `Dial`: those that are down last.

        Raises:
            OperatorError: where the URI cannot be called, or no listening place leads there.
            OSError: where the name cannot be found.
        """
        flows = sorted(await self._routes.resolve_all(uri), key=self.reachability.is_down)
        for flow in flows:
            self._transports.expect(flow, uri.host)
            self._streams.asked_for(flow)
        return tuple(flows)

    def is_ours(self, host: str, port: int) -> bool:
        """Whether a host and port in a URI name one of our listening places."""
        return self._routes.is_ours(host, port)

    def route_local(self, host: str) -> str:
        """Return the address of ours that leads to an IP address, for `bind` and `advertise` left empty.

        Raises:
            OSError: where no route leads there.
        """
        return self._routes.local_address(host)

    def counted(self) -> dict[str, int]:
        """Return what was counted since the start, and how many connections live."""
        endpoint = {f"endpoint_{name}": count for name, count in asdict(self.endpoint.counters).items()}
        return asdict(self.counters) | endpoint | {"connections": self.connections}

    @property
    def connections(self) -> int:
        """How many TCP and TLS connections live."""
        return self._transports.connections

    def flush(self) -> None:
        """Plan a round for the next turn of the loop; many calls make one."""
        if self._planned is None and not self._in_round:
            self._planned = asyncio.get_running_loop().call_soon(self._round)

    # The round.

    def _receive(self, data: bytes, flow: Flow) -> None:
        if is_keep_alive(data):
            self.counters.keep_alives += 1
            return
        self.counters.received += 1
        if self.tap is not None:
            self.tap(data, flow, sent=False)
        try:
            error = self.endpoint.receive(data, flow, self._clock.monotonic())
        except Exception:  # the outermost loop of signalling: one message must not end it
            self.counters.internal_errors += 1
            log.exception("internal error: a message of %d bytes from %s was dropped", len(data), flow.remote.host)
            return
        self.reachability.heard(flow)
        if error is not None:
            self._complain(error, data, flow)

    def _complain(self, error: PeerError, data: bytes, flow: Flow) -> None:
        """Log an unparseable message, at a limited rate and without its content: it may hold numbers and names."""
        self.counters.unparseable += 1
        left_out = self._complaints.admits(self._clock.monotonic())
        if left_out is not None:
            log.warning(
                "unparseable SIP from %s:%d over %s (%d bytes, status %d); %d more not logged",
                *flow.remote, flow.transport, len(data), error.status, left_out,
            )  # fmt: skip

    def _round(self) -> None:
        """Tell every event, send everything, set the timer anew."""
        if self._in_round:
            return
        self._in_round = True
        if self._planned is not None:
            self._planned.cancel()
            self._planned = None
        try:
            # Sending may find a flow dead, which is an event again: bounded, the rest waits for the next turn.
            for _ in range(ROUNDS):
                if not (self._tell() | self._send()):
                    break
            else:
                self._planned = asyncio.get_running_loop().call_soon(self._round)
        finally:
            self._in_round = False
        self._arm()

    def _tell(self) -> bool:
        told = False
        while (event := self.endpoint.next_event()) is not None:
            told = True
            if isinstance(event, Replied) and not event.leg:
                if not self.registrations.replied(event):
                    self.reachability.replied(event.token, event.cause)
                continue
            try:
                self._on_event(event)
            except Exception:  # as in _receive
                self.counters.internal_errors += 1
                log.exception("internal error: %s was not taken", type(event).__name__)
        return told

    def _send(self) -> bool:
        outgoing = self.endpoint.to_send(self._clock.monotonic())
        for data, flow in outgoing:
            if self.tap is not None:
                self.tap(data, flow, sent=True)
            self._transports.send(data, flow)
        return bool(outgoing)

    def _arm(self) -> None:
        due = self.endpoint.next_timer()
        if due is None:
            return
        delay = max(0.0, due - self._clock.monotonic())
        loop = asyncio.get_running_loop()
        at = loop.time() + delay
        if self._timer is not None:
            if self._timer.when() <= at + 0.001:
                return  # it fires early, and sets itself anew: cheaper than moving it with every message
            self._timer.cancel()
        self._timer = loop.call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        try:
            self.endpoint.timer_fired(self._clock.monotonic())
        except Exception:  # as in _receive
            self.counters.internal_errors += 1
            log.exception("internal error: a SIP timer failed")
        self._round()

    def _transport_failed(self, flow: Flow) -> None:
        self.counters.transport_failures += 1
        self.endpoint.transport_failed(flow, self._clock.monotonic())
        self.flush()

    def _not_sent(self, data: bytes, flow: Flow) -> None:
        self.endpoint.not_sent(data, flow, self._clock.monotonic())
        self.flush()

    # Once in a while.

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            self._transports.sweep(self._clock.monotonic())
            self.reachability.look()
            self.registrations.look()

    async def _look_up(self) -> None:
        while True:
            await self._find_destinations()
            await asyncio.sleep(self.peers.look_again_s)
            await self.look_up_peers()

    async def _find_destinations(self) -> None:
        """Find the ways to the destinations whose peers are to be asked; one that is not found is left out."""
        found: list[Flow] = []
        for uri in self._destinations:
            with suppress(OperatorError, OSError):
                found += await self.targets(uri)
        self.reachability.watch(found)
