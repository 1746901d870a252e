"""SIP over TLS: the connections of `tcp`, with a handshake before the first message and a name for the far side.

A stranger is turned away at accept, before it has cost a handshake. Where a peer is known by its certificate
(`tls_names`), it may come from any address: then a stranger's handshake is let in too, few at a time, and must show the
certificate of a peer to get any further. Nothing that was to go over TLS ever goes in clear.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from callrec.signalling.certificates import Credentials, is_named, names_in
from callrec.signalling.rate_limit import RateLimit
from callrec.signalling.tcp import Connection, TcpTransport
from callrec.sip.building import host_port
from callrec.sip.dialog import is_literal
from callrec.sip.events import Address, Flow, SipTransport

if TYPE_CHECKING:
    from callrec.settings import Peer
    from callrec.signalling.peers import Peers

log = logging.getLogger("callrec.signalling")

HANDSHAKE_S = 5.0
"""Seconds a handshake may take."""
HANDSHAKES = 256
"""Handshakes under way at once."""
STRANGE_HANDSHAKES = 16
"""Of these, with addresses that are no peer's."""
_ACCEPTS = 32
_REMEMBERED = 1024


@dataclass
class TlsTransport(TcpTransport):
    """All TLS connections of the driver, and its listening sockets; needs `credentials` and `peers` before it works."""

    name: ClassVar[SipTransport] = "tls"
    credentials: Credentials | None = None
    """In force for connections to come; None while TLS is not used."""
    peers: Callable[[], Peers] = field(kw_only=True)
    faults: dict[Address, str] = field(default_factory=dict)
    """Why the last connection to a place failed, until one succeeds."""
    _domains: dict[Address, str] = field(default_factory=dict)
    _handshakes: int = 0
    _strange: int = 0
    _complaints: RateLimit = field(default_factory=lambda: RateLimit(5, 10.0))

    async def start(self) -> None:
        """Begin to accept."""
        loop = asyncio.get_running_loop()
        for made, address in self._bound:
            made.listen(512)
            loop.add_reader(made.fileno(), self._accept, made, address)

    async def stop(self) -> None:
        """Stop accepting, and close every connection."""
        for made, _ in self._bound:
            asyncio.get_running_loop().remove_reader(made.fileno())
        await super().stop()

    def expect(self, remote: Address, domain: str) -> None:
        """Remember for which SIP domain a place is called: its certificate must name it (RFC 5922 7.3)."""
        if len(self._domains) >= _REMEMBERED:
            self._domains.clear()
        self._domains[remote] = domain

    def names_of(self, flow: Flow) -> frozenset[str]:
        """Return whom the certificate at the far end of a flow names; nobody where none was shown or it is gone."""
        connection = self._connections.get(flow)
        return frozenset() if connection is None else names_in(connection.certificate)

    def admit(self, connection: Connection, *, opened: bool) -> bool:
        """Take a connection whose handshake is done; False where its certificate is not that of whom it must be."""
        flow = connection.flow
        if flow is None:
            return False
        names = names_in(connection.certificate)
        if opened:
            return self._is_expected(flow, names) and super().admit(connection, opened=True)
        if not self._may_speak(flow.remote, names):
            self._complain(flow.remote, "shows no certificate of a peer; see tls_names of the [[peer]]")
            self.counters.closed_unknown += 1
            return False
        return super().admit(connection, opened=True)

    def _may_speak(self, remote: Address, names: frozenset[str]) -> bool:
        if self.peers().identify(remote, names) is not None:
            return True
        # A host that we have called ourselves may answer; a peer that is known by its certificate may not do without.
        return self.peers().match(remote) is None and self.hooks.is_known(remote)

    def _is_expected(self, flow: Flow, names: frozenset[str]) -> bool:
        wanted = self._wanted(flow.remote)
        if is_named(names, wanted):
            self.faults.pop(flow.remote, None)
            return True
        self._failed_to(
            flow.remote,
            f"its certificate is for {', '.join(sorted(names)) or 'nobody'}, expected {', '.join(sorted(wanted))}",
        )
        return False

    def _wanted(self, remote: Address) -> frozenset[str]:
        peer: Peer | None = self.peers().match(remote)
        if peer is not None and peer.tls_names:
            return frozenset(peer.tls_names)
        return frozenset({self._domains.get(remote, remote.host)})

    # Accepting.

    def _accept(self, listening: socket.socket, local: Address) -> None:
        for _ in range(_ACCEPTS):
            try:
                made, (host, port, *_rest) = listening.accept()
            except OSError:  # nobody is left, or no descriptor is
                return
            remote = Address(host, port)
            strange = not self.hooks.is_known(remote)
            if self._has_room(strange=strange):
                self._handshakes += 1
                self._strange += strange
                self.tasks.start(f"handshake {host}:{port}", self._receive(made, local, remote, strange=strange))
            else:
                made.close()

    def _has_room(self, *, strange: bool) -> bool:
        if strange and not self.peers().by_certificate:
            self.counters.closed_unknown += 1
            return False
        full = len(self) + self._handshakes >= self.limits.connections or self._handshakes >= HANDSHAKES
        if full or (strange and self._strange >= STRANGE_HANDSHAKES):
            self.counters.closed_limit += 1
            return False
        return True

    async def _receive(self, made: socket.socket, local: Address, remote: Address, *, strange: bool) -> None:
        """Shake hands with whoever connected."""
        made.setblocking(False)  # noqa: FBT003 - the socket module's own
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                partial(Connection, self, local),
                made,
                ssl=self._serving(remote, strange=strange),
                ssl_handshake_timeout=HANDSHAKE_S,
                ssl_shutdown_timeout=HANDSHAKE_S,
            )
        except OSError as error:
            self.counters.handshakes_failed += 1
            if not strange:
                self._complain(remote, _why(error))
        finally:
            self._handshakes -= 1
            self._strange -= strange

    def _serving(self, remote: Address, *, strange: bool) -> ssl.SSLContext:
        assert self.credentials is not None, "internal error: TLS is accepted without a certificate"
        peers = self.peers()
        peer = peers.match(remote)
        if strange or (peer is not None and peer.tls_names):
            mode = ssl.CERT_REQUIRED
        else:
            mode = ssl.CERT_OPTIONAL if peers.by_certificate else ssl.CERT_NONE
        return self.credentials.serving[mode]

    # Connecting.

    async def _connect(self, flow: Flow) -> Connection | None:
        host, port = flow.remote
        if self.credentials is None:
            return None
        domain = self._domains.get(flow.remote, host)
        try:
            async with asyncio.timeout(self.limits.connect_timeout):
                _, connection = await asyncio.get_running_loop().create_connection(
                    partial(Connection, self, flow.local, flow),
                    host,
                    port,
                    ssl=self.credentials.calling,
                    server_hostname=host if is_literal(domain) else domain,
                    ssl_shutdown_timeout=HANDSHAKE_S,
                )
        except OSError as error:
            self._failed_to(flow.remote, _why(error))
            raise
        return connection

    def _failed_to(self, remote: Address, why: str) -> None:
        if len(self.faults) >= _REMEMBERED:
            self.faults.clear()
        self.faults[remote] = why
        self.counters.handshakes_failed += 1
        self._complain(remote, why)

    def _complain(self, remote: Address, why: str) -> None:
        left_out = self._complaints.admits(self.hooks.now())
        if left_out is not None:
            log.warning("no TLS with %s: %s (%d more not logged)", host_port(remote), why, left_out)


def _why(error: OSError) -> str:
    """Return what was wrong with a handshake, and what to look at."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}; see sip.tls_ca_file and the certificate there"
    if isinstance(error, ssl.SSLError):
        return f"the handshake failed: {(error.reason or 'no reason given').lower().replace('_', ' ')}"
    if isinstance(error, TimeoutError):
        return "no connection in time"
    return f"no connection: {error.strerror or str(error) or 'it was closed'}"
