"""SIP over TLS on real sockets: who is believed, who is turned away, and that nothing ever goes in clear (SIP-13)."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from callrec.errors import ExitCode, OperatorError
from callrec.settings import Peer
from callrec.signalling import Peers, TcpLimits, TlsFiles, expires_at
from callrec.signalling.certificates import names_in
from callrec.sip.endpoint import Dial
from callrec.sip.events import Address, Failed, IncomingCall
from callrec.sip.name_address import NameAddress
from callrec.sip.uri import Uri
from tests.signalling.test_driver import options
from tests.support.authority import Authority
from tests.support.sip_driver import Driven, peer, until

TLS = ("tls://127.0.0.1:0",)
PBX = "pbx.example.net"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@asynccontextmanager
async def house(files: TlsFiles, *peers: Peer, **settings: Any) -> AsyncIterator[Driven]:
    """Run a driver that listens on TLS alone."""
    made = Driven(Peers(peers or [peer("trunk", "127.0.0.1")]), TLS, tls=files, **settings)
    await made.driver.start()
    try:
        yield made
    finally:
        await made.driver.stop()


def context(files: TlsFiles, *, certificate: bool = True) -> ssl.SSLContext:
    """Return how a far side connects to us."""
    made = ssl.create_default_context(cafile=files.authorities)
    made.check_hostname = False
    if certificate:
        assert files.certificate is not None
        made.load_cert_chain(files.certificate, files.key)
    return made


async def answer(address: Address, secured: ssl.SSLContext, source: str = "127.0.0.1") -> bytes:
    """Return what OPTIONS gets over a connection of its own; nothing where the connection is closed."""
    try:
        reader, writer = await asyncio.open_connection(*address, ssl=secured, local_addr=(source, 0))
        writer.write(options(source, 1, "TLS"))
        async with asyncio.timeout(5):
            received = await reader.read(2000)
        writer.close()
    except (ssl.SSLError, ConnectionError):
        return b""
    return received


def invite(caller: Driven, flow: Any, leg: str = "out") -> None:
    dial = Dial(
        leg, flow, Uri.parse(f"sip:100@{PBX}"), NameAddress.parse("<sip:100@x>"), NameAddress.parse("<sip:1@y>")
    )
    caller.endpoint.dial(dial, caller.now)


async def test_a_call_goes_over_tls_with_its_via_and_contact(authority: Authority) -> None:
    """Client and server: `sips:` is dialled over TLS, by the name in the certificate (RFC 5922 7.3)."""
    ours, theirs = authority.issue("rec.example.net"), authority.issue("127.0.0.1")
    async with house(theirs) as pbx, house(ours) as caller:
        port = pbx.address("tls").port
        flow = await caller.driver.resolve(Uri.parse(f"sips:100@127.0.0.1:{port}"))
        assert flow.transport == "tls"
        invite(caller, flow)
        call = await pbx.take(IncomingCall)
        assert call.flow.transport == "tls"
        assert call.request.via.transport == "TLS"
        assert "transport=tls" in (call.request.headers.get("Contact") or "")
        assert caller.driver.connections == pbx.driver.connections == 1


async def test_a_peer_set_to_tls_is_called_so_by_a_plain_uri_and_believed_so_alone(authority: Authority) -> None:
    """SIP-13, CLI-1: `transport = "tls"` needs no word in the URI; what comes from its address over UDP is not it."""
    set_to_tls = peer("pbx", "127.0.0.1", transport="tls", trusted_identity=True)
    ours, theirs = authority.issue("rec.example.net"), authority.issue("127.0.0.1")
    async with house(theirs) as pbx, house(ours, set_to_tls) as caller:
        flow = await caller.driver.resolve(Uri.parse(f"sip:100@127.0.0.1:{pbx.address('tls').port}"))
        assert flow.transport == "tls"
        invite(caller, flow)
        assert (await pbx.take(IncomingCall)).flow.transport == "tls"
        over_tls = caller.driver.peer_of(flow)
        over_udp = caller.driver.peer_of(flow._replace(transport="udp"))
        assert over_tls is not None
        assert over_udp is not None
        assert (over_tls.name, over_tls.trusted_identity) == ("pbx", True)
        assert (over_udp.name, over_udp.trusted_identity) == ("pbx", False)


async def test_registrations_and_questions_go_over_the_peers_transport(authority: Authority) -> None:
    """SIP-13: neither REGISTER nor OPTIONS names TLS, and both go over it, on the one connection there is."""
    ours, theirs = authority.issue("rec.example.net"), authority.issue("127.0.0.1")
    async with house(theirs) as pbx:
        uri = f"sip:127.0.0.1:{pbx.address('tls').port}"
        kept = peer("pbx", "127.0.0.1", transport="tls", register=uri, options_seconds=1)
        seen: list[tuple[str, str]] = []
        pbx.driver.tap = lambda data, flow, *, sent: seen.append((data.split(b" ")[0].decode(), flow.transport))
        async with house(ours, kept) as caller:
            caller.driver.watch([uri])
            await until(lambda: {("REGISTER", "tls"), ("OPTIONS", "tls")} <= set(seen))
            assert caller.driver.connections == 1
        assert {transport for _, transport in seen} == {"tls"}


async def test_two_messages_go_over_one_connection(authority: Authority) -> None:
    """A connection is reused while it lives (RFC 5923), also for what the far side sends."""
    ours = authority.issue("127.0.0.1")
    async with house(ours) as called:
        reader, writer = await asyncio.open_connection(*called.address("tls"), ssl=context(ours))
        for _ in range(2):
            writer.write(options("127.0.0.1", 1, "TLS"))
            assert (await asyncio.wait_for(reader.read(2000), 5)).startswith(b"SIP/2.0 200")
        assert called.driver.connections == 1
        writer.close()


@pytest.mark.parametrize(
    ("names", "days", "said"),
    [
        (["other.example.net"], 365, "its certificate is for other.example.net, expected 127.0.0.1"),
        (["127.0.0.1"], -1, "certificate has expired"),
    ],
    ids=["another name", "expired"],
)
async def test_a_wrong_certificate_is_a_transport_failure_and_never_clear_text(
    authority: Authority, caplog: pytest.LogCaptureFixture, names: list[str], days: int, said: str
) -> None:
    """The call fails, the peer is down with the reason, one line says why; not a byte of SIP was sent."""
    theirs, ours = authority.issue(*names, days=days, file="wrong"), authority.issue("rec.example.net")
    trunk = peer("pbx", "127.0.0.1")
    async with house(theirs) as pbx, house(ours, trunk) as caller:
        flow = await caller.driver.resolve(Uri.parse(f"sip:127.0.0.1:{pbx.address('tls').port};transport=tls"))
        with caplog.at_level(logging.WARNING):
            invite(caller, flow)
            failed = await caller.take(Failed)
        assert failed.cause == "transport"
        assert said in caplog.text
        assert any(said in problem for problem in caller.driver.reachability.problems().values())
        assert pbx.told.empty()
        assert pbx.driver.counters.received == 0


async def test_what_speaks_no_tls_gets_no_clear_text(authority: Authority) -> None:
    """A far side that answers the handshake with plain SIP is a transport failure."""
    heard = bytearray()

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.read(4000))
        writer.write(b"SIP/2.0 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with house(authority.issue("127.0.0.1")) as caller:
        invite(caller, await caller.driver.resolve(Uri.parse(f"sips:127.0.0.1:{port}")))
        assert (await caller.take(Failed)).cause == "transport"
    assert b"SIP/2.0" not in heard
    server.close()


async def test_a_certificate_is_a_peer_from_any_address(authority: Authority) -> None:
    """Mutual TLS: whoever shows a peer's name is that peer; a stranger without one gets nothing."""
    ours = authority.issue("rec.example.net")
    pbx = peer("pbx", "192.0.2.1", tls_names=[PBX])
    other = Authority(ours.certificate.parent / "other") if ours.certificate else None
    assert other is not None
    async with house(ours, pbx) as called:
        where = called.address("tls")
        theirs = authority.issue(f"sip:{PBX}")
        assert (await answer(where, context(theirs))).startswith(b"SIP/2.0 200")
        assert await answer(where, context(authority.issue("stranger.example.net"))) == b""
        assert await answer(where, context(theirs, certificate=False)) == b""
        forged = other.issue(PBX)
        assert await answer(where, context(TlsFiles(forged.certificate, forged.key, authority.file))) == b""
        await until(lambda: called.driver.connections == 0)


async def test_the_certificate_names_the_peer_of_a_call(authority: Authority) -> None:
    """An INVITE over a connection with pbx's certificate is pbx's, though the address is the trunk's."""
    ours, theirs = authority.issue("rec.example.net"), authority.issue(PBX)
    peers = [peer("trunk", "127.0.0.1"), peer("pbx", "192.0.2.1", tls_names=[PBX])]
    async with house(ours, *peers) as called, house(theirs) as caller:
        caller.driver.replace_peers(Peers([peer("rec", "127.0.0.1", tls_names=["rec.example.net"])]))
        invite(caller, await caller.driver.resolve(Uri.parse(f"sips:127.0.0.1:{called.address('tls').port}")))
        call = await called.take(IncomingCall)
        found = called.driver.peer_of(call.flow)
        assert found is not None
        assert found.name == "pbx"


async def test_a_peer_with_names_is_not_believed_by_its_address(authority: Authority) -> None:
    """Over TLS the address of a peer with tls_names is not enough."""
    ours = authority.issue("rec.example.net")
    async with house(ours, peer("pbx", "127.0.0.1", tls_names=[PBX])) as called:
        assert await answer(called.address("tls"), context(authority.issue("else.example.net"))) == b""
        assert await answer(called.address("tls"), context(ours, certificate=False)) == b""


async def test_a_stranger_is_turned_away_before_the_handshake(authority: Authority) -> None:
    """Where no peer is known by certificate, an unknown address is closed at accept and gets not one byte."""
    async with house(authority.issue("rec.example.net"), peer("trunk", "192.0.2.1")) as called:
        reader, writer = await asyncio.open_connection(*called.address("tls"))
        assert await asyncio.wait_for(reader.read(), 5) == b""
        assert called.driver.counters.closed_unknown == 1
        writer.close()


async def test_there_is_a_limit_to_tls_connections(authority: Authority) -> None:
    """Connections that never shake hands count as well."""
    async with house(authority.issue("rec.example.net"), tcp=TcpLimits(connections=2)) as called:
        opened = [await asyncio.open_connection(*called.address("tls")) for _ in range(3)]
        assert await asyncio.wait_for(opened[2][0].read(), 5) == b""
        assert called.driver.counters.closed_limit == 1
        for _, writer in opened:
            writer.close()


async def test_an_unfinished_handshake_ends_by_itself(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever connects and says nothing is closed after the time for a handshake."""
    monkeypatch.setattr("callrec.signalling.tls.HANDSHAKE_S", 0.2)
    async with house(authority.issue("rec.example.net")) as called:
        reader, writer = await asyncio.open_connection(*called.address("tls"))
        assert await asyncio.wait_for(reader.read(), 5) == b""
        await until(lambda: called.driver.counters.handshakes_failed == 1)
        writer.close()


@pytest.mark.parametrize("said", [b"OPTIONS sip:x SIP/2.0\r\n\r\n", b"\x16\x03\x01\x00\x05hello", bytes(500), b""])
async def test_what_is_no_handshake_is_counted_and_closed(
    authority: Authority, caplog: pytest.LogCaptureFixture, said: bytes
) -> None:
    """Plain SIP, garbage and a connection that closes at once: one line, no traceback, nothing in clear."""
    async with house(authority.issue("rec.example.net")) as called:
        reader, writer = await asyncio.open_connection(*called.address("tls"))
        writer.write(said)
        if not said:
            writer.close()
        else:
            assert b"SIP/2.0" not in await asyncio.wait_for(reader.read(), 5)
            writer.close()
        await until(lambda: called.driver.counters.handshakes_failed == 1)
        assert called.driver.counters.received == 0
    assert "Traceback" not in caplog.text
    assert all(record.levelno <= logging.WARNING for record in caplog.records)


async def test_nothing_older_than_tls_1_2_is_spoken(authority: Authority) -> None:
    """SIP-13: TLS 1.2 at least."""
    files = authority.issue("127.0.0.1")
    async with house(files) as called:
        old = context(files)
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        assert await answer(called.address("tls"), old) == b""
        new = context(files)
        new.maximum_version = ssl.TLSVersion.TLSv1_2
        assert (await answer(called.address("tls"), new)).startswith(b"SIP/2.0 200")


async def test_certificates_are_reloaded_and_a_broken_one_changes_nothing(authority: Authority) -> None:
    """A renewed certificate is shown by the next connection; a broken file leaves the old one in force."""
    files = authority.issue("127.0.0.1", file="renewed")
    assert files.certificate is not None

    async def serial(called: Driven) -> Any:
        _, writer = await asyncio.open_connection(*called.address("tls"), ssl=context(files, certificate=False))
        shown = writer.get_extra_info("ssl_object").getpeercert()
        writer.close()
        return shown["serialNumber"]

    async with house(files) as called:
        first = await serial(called)
        authority.issue("127.0.0.1", file="renewed")
        called.driver.reload_certificates()
        second = await serial(called)
        assert first != second
        files.certificate.write_text("no certificate")
        with pytest.raises(OperatorError, match=r"tls_certificate_file .*renewed.pem") as raised:
            called.driver.reload_certificates()
        assert raised.value.exit_code == ExitCode.CONFIGURATION
        assert "\n" not in str(raised.value)
        assert await serial(called) == second


def test_a_certificate_tells_when_it_expires(authority: Authority) -> None:
    """`callrec doctor` reads it from the file."""
    files = authority.issue("127.0.0.1", days=30, file="month")
    assert files.certificate is not None
    left = expires_at(files.certificate) - datetime.now(UTC)
    assert timedelta(days=29) < left <= timedelta(days=30)


def test_names_follow_rfc_5922() -> None:
    """7.1: sip URIs without a user count before DNS names; the common name and a user's URI name nobody."""
    alternatives = (("URI", "sip:Example.net"), ("URI", "sip:alice@example.org"), ("DNS", "www.example.com"))
    assert names_in({"subjectAltName": alternatives}) == {"example.net"}
    assert names_in({"subjectAltName": (("DNS", "PBX.example.net"), ("IP Address", "::1"))}) == {PBX, "::1"}
    assert names_in({"subject": ((("commonName", PBX),),)}) == frozenset()
    assert names_in(None) == frozenset()
