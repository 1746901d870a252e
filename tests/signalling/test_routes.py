"""Where a URI is, which socket leads there, and that a Contact never makes us talk to strangers."""

from __future__ import annotations

import pytest

from callrec.errors import OperatorError
from callrec.signalling import Peers
from callrec.signalling.resolver import Resolver
from callrec.signalling.routes import Routes
from callrec.signalling.sockets import Listening, read_listening
from callrec.sip.events import Address, Flow
from callrec.sip.uri import Uri
from callrec.tasks import Tasks
from tests.support.pair import seeded
from tests.support.sip_driver import peer

UDP, TCP, UDP6 = Address("127.0.0.1", 5060), Address("127.0.0.1", 5061), Address("::1", 5062)


def made_resolver() -> Resolver:
    """Return a resolver that asks nobody before it is asked."""
    return Resolver((), Tasks("test"), lambda: 0.0)


def routes(*places: Listening, advertised: str = "") -> Routes:
    listening = places or (Listening("udp", UDP), Listening("tcp", TCP), Listening("udp", UDP6))
    return Routes(Peers([peer("pbx", "127.0.0.0/8")]), advertised, made_resolver(), seeded(1), list(listening))


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sip:100@127.0.0.2", Flow("udp", UDP, Address("127.0.0.2", 5060))),
        ("sip:100@127.0.0.2:5070", Flow("udp", UDP, Address("127.0.0.2", 5070))),
        ("sip:127.0.0.2;transport=TCP", Flow("tcp", TCP, Address("127.0.0.2", 5060))),
        ("sip:100@[::1]:5070", Flow("udp", UDP6, Address("::1", 5070))),
        ("sip:100@localhost:5070", Flow("udp", UDP, Address("127.0.0.1", 5070))),
    ],
)
async def test_a_uri_is_resolved_to_a_way(uri: str, expected: Flow) -> None:
    """Addresses at once, names by DNS; transport and port as RFC 3263 4 has them."""
    found = await routes().resolve(Uri.parse(uri))
    if "localhost" in uri:
        assert (found.transport, found.remote.port) == ("udp", 5070)
        assert found.remote.host in {"127.0.0.1", "::1"}
    else:
        assert found == expected


@pytest.mark.parametrize("uri", ["tel:+442079460123", "sips:a@127.0.0.1", "sip:a@[::1];transport=tcp"])
async def test_a_uri_that_cannot_be_called_says_why(uri: str) -> None:
    """No listening place of that kind, or a scheme that is not sip."""
    with pytest.raises(OperatorError):
        await routes().resolve(Uri.parse(uri))


async def test_without_udp_tcp_is_used() -> None:
    """A recorder that listens on TCP only calls by TCP."""
    found = await routes(Listening("tcp", TCP)).resolve(Uri.parse("sip:100@127.0.0.2"))
    assert found.transport == "tcp"


DIALOG = Flow("udp", UDP, Address("127.0.0.2", 5060))


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sip:a@127.0.0.3:5099", Flow("udp", UDP, Address("127.0.0.3", 5099))),
        ("sip:a@192.0.2.1:5099", DIALOG),
        ("sip:a@pbx.example.com", DIALOG),
        ("tel:+442079460123", DIALOG),
        ("sip:a@127.0.0.2;transport=tcp", Flow("tcp", TCP, Address("127.0.0.2", 5060))),
    ],
)
def test_a_contact_never_leads_to_strangers(uri: str, expected: Flow) -> None:
    """A peer's address is followed; anything else stays on the way the call came."""
    assert routes().route_in_dialog(Uri.parse(uri), DIALOG) == expected


async def test_who_was_called_may_answer() -> None:
    """A destination that is no peer would else ring for ever: its responses must come through."""
    made = routes()
    assert not made.is_known(Address("192.0.2.9", 5060))
    await made.resolve(Uri.parse("sip:100@192.0.2.9"))
    assert made.is_known(Address("192.0.2.9", 5060))


def test_what_is_advertised() -> None:
    """The configured address, else the listening one, else that of the route to the peer."""
    wild = Flow("udp", Address("0.0.0.0", 5060), Address("127.0.0.2", 5060))
    assert routes(advertised="203.0.113.1").advertise(wild) == Address("203.0.113.1", 5060)
    six = Flow("udp", UDP6, UDP6)
    assert routes(advertised="203.0.113.1").advertise(six) == UDP6, "a literal stands for its own family only"
    assert routes(advertised="sip.example.net").advertise(six) == Address("sip.example.net", 5062)
    assert routes().advertise(DIALOG) == UDP
    assert routes().advertise(wild) == Address("127.0.0.1", 5060)


@pytest.mark.parametrize(
    "text", ["udp:127.0.0.1:5060", "sctp://127.0.0.1:5060", "udp://127.0.0.1", "udp://x:99999", ""]
)
def test_a_listening_place_that_is_none_is_refused(text: str) -> None:
    """One sentence that says what was found and expected."""
    with pytest.raises(OperatorError, match=r"sip\.listen: found"):
        read_listening(text)


TLS = Address("127.0.0.1", 5063)
SECURE = (Listening("udp", UDP), Listening("tcp", TCP), Listening("tls", TLS))
SET = Peers([
    peer("trunk", "10.0.0.1", "trunk.test", transport="tls"), peer("pbx", "10.0.0.2", transport="tcp"),
    peer("other", "10.0.0.3"),
])  # fmt: skip


def set_routes(*places: Listening) -> Routes:
    return Routes(SET, "", made_resolver(), seeded(1), list(places or SECURE))


@pytest.mark.parametrize(
    ("uri", "transport", "port"),
    [
        ("sip:1@10.0.0.1", "tls", 5061),
        ("sip:1@10.0.0.1:5071", "tls", 5071),
        ("sip:1@10.0.0.1;transport=tls", "tls", 5061),
        ("sips:1@10.0.0.1", "tls", 5061),
        ("sip:1@10.0.0.2", "tcp", 5060),
        ("sip:1@10.0.0.2;transport=udp", "udp", 5060),
        ("sips:1@10.0.0.2", "tls", 5061),
        ("sip:1@10.0.0.3", "udp", 5060),
        ("sip:1@10.0.0.3;transport=tcp", "tcp", 5060),
        ("sip:1@10.9.9.9", "udp", 5060),
    ],
)
async def test_a_peers_transport_counts_where_a_uri_names_none(uri: str, transport: str, port: int) -> None:
    """SIP-13: `[[peer]] transport`, and the port that goes with it; what a URI names comes first."""
    found = await set_routes().resolve(Uri.parse(uri))
    assert (found.transport, found.remote.port) == (transport, port)


async def test_a_peer_of_tls_that_is_a_name_is_never_called_in_clear_whatever_dns_says() -> None:
    """SIP-13: the name alone says whose it is, before any address of it is known."""
    known = Routes(Peers([peer("named", "localhost", transport="tls")]), "", made_resolver(), seeded(1), list(SECURE))
    assert (await known.resolve(Uri.parse("sip:1@localhost"))).transport == "tls"
    with pytest.raises(OperatorError, match="never called in clear"):
        await known.resolve(Uri.parse("sip:1@localhost;transport=udp"))


@pytest.mark.parametrize("named", ["udp", "tcp", "ws"])
async def test_no_uri_takes_a_peer_out_of_tls(named: str) -> None:
    """SIP-13: of a 3xx, a Refer-To or a file: it leads nowhere, and the text says to whom and what would."""
    with pytest.raises(OperatorError, match=r"peer trunk, which has transport = tls .*expected sips:"):
        await set_routes().resolve(Uri.parse(f"sip:1@10.0.0.1;transport={named}"))


async def test_a_peer_of_tls_is_not_called_by_what_we_have_instead() -> None:
    """SIP-13: without a place for TLS it is not called at all."""
    with pytest.raises(OperatorError, match="by tls; add tls://"):
        await set_routes(Listening("udp", UDP), Listening("tcp", TCP)).resolve(Uri.parse("sip:1@10.0.0.1"))


CLEAR = Flow("udp", UDP, Address("10.0.0.3", 5060))


@pytest.mark.parametrize(
    ("uri", "flow", "expected"),
    [
        ("sip:1@10.0.0.1", CLEAR, Flow("tls", TLS, Address("10.0.0.1", 5061))),
        ("sip:1@10.0.0.1:5071", CLEAR, Flow("tls", TLS, Address("10.0.0.1", 5071))),
        ("sip:1@10.0.0.1;transport=udp", CLEAR, CLEAR),
        ("sip:1@10.0.0.1;transport=tcp", CLEAR, CLEAR),
        ("sip:1@10.0.0.2", CLEAR, Flow("udp", UDP, Address("10.0.0.2", 5060))),
        (
            "sip:1@10.0.0.1:5080",
            Flow("udp", UDP, Address("10.0.0.1", 5060)),
            Flow("udp", UDP, Address("10.0.0.1", 5080)),
        ),
        (
            "sip:1@10.0.0.1:5060",
            Flow("tls", TLS, Address("10.0.0.1", 5061)),
            Flow("tls", TLS, Address("10.0.0.1", 5061)),
        ),
    ],
    ids=["none named", "a port", "udp", "tcp", "a peer of tcp", "its own dialog in clear", "its own over TLS"],
)
def test_a_contact_does_not_call_a_peer_of_tls_in_clear(uri: str, flow: Flow, expected: Flow) -> None:
    """SIP-13: it is reached over TLS, or by the hop that the dialog has; a dialog it began in clear itself goes on."""
    assert set_routes().route_in_dialog(Uri.parse(uri), flow) == expected
