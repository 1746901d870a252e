"""Who may speak to us: the longest match wins."""

from __future__ import annotations

import pytest

from callrec.signalling import Peers
from callrec.signalling.peers import NAMES_AGAIN_S, NAMES_S
from callrec.sip.events import Address
from tests.support.sip_driver import peer

TABLE = Peers([
    peer("net", "10.0.0.0/8"), peer("subnet", "10.1.0.0/16"), peer("host", "10.1.2.3"),
    peer("port", "10.1.2.3:5080"), peer("six", "2001:db8::/32"), peer("named", "localhost:5090"),
])  # fmt: skip


@pytest.mark.parametrize(
    ("host", "port", "name"),
    [
        ("10.9.9.9", 5060, "net"), ("10.1.9.9", 5060, "subnet"), ("10.1.2.3", 5060, "host"), ("10.1.2.3", 5080, "port"),
        ("2001:db8::1", 5060, "six"), ("11.0.0.1", 5060, None), ("::1", 5060, None), ("not-an-address", 5060, None),
    ],
)  # fmt: skip
def test_the_longest_match_wins(host: str, port: int, name: str | None) -> None:
    """host:port before host before the longer prefix; anything else is a stranger."""
    found = TABLE.match(Address(host, port))
    assert (found.name if found else None) == name
    assert TABLE.is_known(Address(host, port)) == (name is not None)


SECURED = peer("secured", "10.0.0.1", "pbx.test", trusted_identity=True, allow_refer=True, transport="tls")


def test_a_peer_of_tls_is_not_believed_in_clear(caplog: pytest.LogCaptureFixture) -> None:
    """CLI-1: an address can be forged. Its calls pass, without the identity they assert, and it transfers nobody."""
    peers = Peers([SECURED, peer("plain", "10.0.0.2", trusted_identity=True)])
    found = peers.in_clear(Address("10.0.0.1", 5060))
    assert found is not None
    assert (found.name, found.trusted_identity, found.allow_refer) == ("secured", False, False)
    assert peers.identify(Address("10.0.0.1", 40000), ()) == SECURED
    plain = peers.in_clear(Address("10.0.0.2", 5060))
    assert plain is not None
    assert plain.trusted_identity
    assert peers.in_clear(Address("10.0.0.3", 5060)) is None
    peers.in_clear(Address("10.0.0.1", 5060))
    (line,) = [record.message for record in caplog.records]
    assert line.startswith("peer secured has transport = tls and speaks in clear from 10.0.0.1")


def test_a_destination_is_a_peers_by_its_name_before_anything_is_looked_up() -> None:
    """SIP-13: what a name may not be called by must not depend on DNS; a named port counts."""
    registrar = peer("registrar", "10.0.0.2", register="sip:me@Reg.test", tls_names=["edge.test"])
    peers = Peers([SECURED, registrar, peer("ported", "pbx.test:5080", "10.0.0.3:5061")])
    places = [("PBX.test", "9.9.9.9", None), ("reg.test", "9.9.9.9", 5070), ("edge.test", "9.9.9.9", None)]
    places += [("pbx.test", "9.9.9.9", 5080), ("10.0.0.1", "10.0.0.1", None), ("10.0.0.3", "10.0.0.3", None)]
    found = [peers.at(*place) for place in places]
    assert [one and one.name for one in found] == ["secured", "registrar", "registrar", "ported", "secured", "ported"]
    assert peers.at("other.test", "9.9.9.9", None) is None


@pytest.mark.parametrize(
    ("host", "port", "known"),
    [
        ("10.0.0.3", None, True),
        ("10.0.0.3", 5061, True),
        ("10.0.0.3", 5060, False),
        ("A.test", None, True),
        ("a.test", 5061, False),
        ("b.test", None, False),
        ("10.0.0.4", None, False),
    ],
)
def test_a_host_without_a_port_is_known_by_the_ports_of_sip_and_tls(host: str, port: int | None, known: bool) -> None:
    """SIP-12: whom a redirection may lead to; the transport, and so the port, may be the peer's own affair."""
    peers = Peers([peer("secured", "10.0.0.3:5061", transport="tls"), peer("plain", "a.test:5060")])
    assert peers.knows_host(host, port) is known


async def hosts(name: str, *, with_services: bool) -> set[str]:
    """Return where names are, as DNS would."""
    if name == "gone.invalid":
        raise OSError("no such name")
    return {"127.0.0.1", "127.0.0.7"} if with_services else {"127.0.0.1"}


async def test_a_trunk_by_name_speaks_from_the_hosts_of_its_services() -> None:
    """SIP-13, RFC 3263 4.2: a name without a port stands for its SRV hosts as well, one with a port for itself."""
    peers = Peers([peer("trunk", "sip.provider.test"), peer("other", "sip.other.test:5060")])
    await peers.look_up(hosts)
    found = peers.match(Address("127.0.0.7", 5060))
    assert found is not None
    assert found.name == "trunk"


async def test_a_peer_by_name_counts_once_it_is_found() -> None:
    """Names are looked up, never while a packet waits."""
    peers = Peers([peer("named", "localhost:5090")])
    assert not peers.is_known(Address("127.0.0.1", 5090))
    await peers.look_up(hosts)
    assert peers.is_known(Address("127.0.0.1", 5090))
    assert not peers.is_known(Address("127.0.0.1", 5091))


async def test_a_name_that_cannot_be_found_is_logged_and_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """One broken name does not shut the others out."""
    peers = Peers([peer("gone", "gone.invalid"), peer("there", "127.0.0.1")])
    await peers.look_up(hosts)
    assert peers.is_known(Address("127.0.0.1", 1))
    assert "gone.invalid" in caplog.text
    caplog.clear()
    await peers.look_up(hosts)
    assert not caplog.text, "said once"
    assert list(peers.problems()) == ["name gone.invalid"], "status says it as long as it is so"


async def test_a_peer_that_dns_did_not_know_at_the_start_is_looked_up_again_soon() -> None:
    """DNS may come after us: its trunk must not be a stranger for a minute longer."""
    gone, there = Peers([peer("gone", "gone.invalid")]), Peers([peer("named", "localhost")])
    for peers in (gone, there):
        await peers.look_up(hosts)
    assert (gone.look_again_s, there.look_again_s) == (NAMES_AGAIN_S, NAMES_S)


def test_what_is_remembered_of_strangers_is_bounded() -> None:
    """A scan from many addresses does not grow the memory."""
    for number in range(10_000):
        TABLE.match(Address(f"172.16.{number // 250}.{number % 250}", 5060))
    assert len(TABLE._remembered) <= 4096
