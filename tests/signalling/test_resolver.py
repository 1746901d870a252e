"""Names by a real DNS server: its answers, its changes, and what counts once it is dead (SIP-13, RFC 3263)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from callrec.signalling.locator import Locator, Place
from callrec.signalling.resolver import Resolver, Server
from callrec.signalling.system_names import SystemNames
from callrec.sip.locating import transports_for
from callrec.sip.uri import Uri
from callrec.tasks import Tasks
from tests.support.name_server import HOST, NameServer, SilentServer

RECORDS = (
    "host-record=first.example.test,192.0.2.1",
    "host-record=second.example.test,192.0.2.2,2001:db8::2",
    "host-record=pbx.example.test,192.0.2.9",
    "host-record=plain.example.test,192.0.2.8",
    "srv-host=_sip._udp.pbx.example.test,second.example.test,5080,20,0",
    "srv-host=_sip._udp.pbx.example.test,first.example.test,5070,10,0",
    "srv-host=_sip._tcp.pbx.example.test,first.example.test,5075,10,0",
    "srv-host=_sips._tcp.pbx.example.test,first.example.test,5061,10,0",
    "naptr-record=ordered.example.test,10,10,s,SIP+D2T,,_sip._tcp.pbx.example.test",
    "naptr-record=ordered.example.test,20,10,s,SIP+D2U,,_sip._udp.pbx.example.test",
    "srv-host=_sip._udp.closed.example.test",
    "host-record=closed.example.test,192.0.2.7",
)


class Clock:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


class Names:
    """A resolver and a locator as the driver has them, with files of the test's own."""

    def __init__(self, directory: Path, *servers: Server, hosts: str = "") -> None:
        self.clock, self.tasks = Clock(), Tasks("test")
        (directory / "hosts").write_text(hosts)
        system = SystemNames(self.clock, directory / "hosts", directory / "none")
        self.resolver = Resolver(servers, self.tasks, self.clock, system)
        self.locator = Locator(self.resolver, bytes, lambda address: ":" in address)

    async def places(self, text: str) -> list[Place]:
        uri = Uri.parse(text)
        return await self.locator.places(uri, transports_for(uri, ("udp", "tcp")))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NameServer]:
    with NameServer(RECORDS, tmp_path_factory.mktemp("dns")) as server:
        yield server


@pytest.fixture
async def names(tmp_path: Path, server: NameServer) -> AsyncIterator[Names]:
    names = Names(tmp_path, (HOST, server.port), hosts="127.0.0.9 pinned.example.test\n")
    yield names
    await names.tasks.stop()


async def test_srv_orders_hosts_and_both_families_are_tried(names: Names) -> None:
    """RFC 3263 4.2, RFC 7984: the least priority first; each host with all its addresses."""
    assert await names.places("sip:100@pbx.example.test") == [
        Place("udp", "192.0.2.1", 5070),
        Place("udp", "192.0.2.2", 5080),
        Place("udp", "2001:db8::2", 5080),
    ]


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sip:pbx.example.test;transport=tcp", Place("tcp", "192.0.2.1", 5075)),
        ("sip:pbx.example.test:5099", Place(None, "192.0.2.9", 5099)),
        ("sip:plain.example.test", Place(None, "192.0.2.8", None)),
        ("sip:ordered.example.test", Place("tcp", "192.0.2.1", 5075)),
        ("sip:pinned.example.test", Place(None, "127.0.0.9", None)),
        ("sip:192.0.2.77", Place(None, "192.0.2.77", None)),
    ],
)
async def test_what_a_uri_says_decides_what_is_asked(names: Names, uri: str, expected: Place) -> None:
    """RFC 3263 4.1 and 4.2: NAPTR, transport, port and literal; /etc/hosts before all."""
    assert (await names.places(uri))[0] == expected


async def test_a_service_that_is_not_offered_is_not_called_by_its_address(names: Names) -> None:
    """RFC 2782: a target of "." means no, although the host has an address."""
    with pytest.raises(OSError, match="takes no SIP"):
        await names.places("sip:closed.example.test;transport=udp")


async def test_a_name_that_is_not_there_is_told_at_once(names: Names) -> None:
    """A "no" is an answer: nobody waits for more."""
    begun = time.monotonic()
    with pytest.raises(OSError, match=r"no address of gone\.example\.test"):
        await names.places("sip:gone.example.test")
    assert time.monotonic() - begun < 1.0


async def test_many_calls_ask_once(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred calls that begin together put one question of each kind."""
    asked: list[str] = []
    ask = names.resolver._ask_one

    async def counted(server: Server, name: str, kind: str, limit_s: float) -> object:
        asked.append(f"{kind} {name}")
        return await ask(server, name, kind, limit_s)  # type: ignore[arg-type]

    monkeypatch.setattr(names.resolver, "_ask_one", counted)
    await asyncio.gather(*(names.places("sip:pbx.example.test") for _ in range(100)))
    assert len(asked) == len(set(asked))


async def test_the_second_server_is_asked_when_the_first_is_dead(tmp_path: Path, server: NameServer) -> None:
    """A dead server costs the first question a second, and the next ones nothing."""
    with SilentServer() as dead:
        names = Names(tmp_path, (HOST, dead.port), (HOST, server.port))
        begun = time.monotonic()
        assert (await names.places("sip:pbx.example.test"))[0].address == "192.0.2.1"
        assert time.monotonic() - begun < 3.0
        begun = time.monotonic()
        assert (await names.places("sip:plain.example.test"))[0].address == "192.0.2.8"
        assert time.monotonic() - begun < 0.8
        await names.tasks.stop()


async def test_a_changed_record_counts_after_its_ttl_and_a_dead_dns_changes_nothing(tmp_path: Path) -> None:
    """RFC 8767: what was said before is used while nobody answers; calls fail open."""
    with NameServer(["host-record=moves.example.test,192.0.2.1"], tmp_path / "dns", ttl_s=60) as server:
        names = Names(tmp_path, (HOST, server.port))
        assert (await names.resolver.addresses("moves.example.test")) == ("192.0.2.1",)
        server.change(["host-record=moves.example.test,192.0.2.5"])
        names.clock.ahead = 50
        assert (await names.resolver.addresses("moves.example.test")) == ("192.0.2.1",)
        names.clock.ahead = 70
        assert (await names.resolver.addresses("moves.example.test")) == ("192.0.2.5",)
    names.clock.ahead = 100_000
    begun = time.monotonic()
    assert (await names.resolver.addresses("moves.example.test")) == ("192.0.2.5",)
    assert time.monotonic() - begun < 1.5
    await names.tasks.stop()


async def test_a_dead_dns_is_told_within_the_time_of_a_call(tmp_path: Path) -> None:
    """A name nobody ever knew ends with words, within the 5 s that a call gives it."""
    with SilentServer() as dead:
        names = Names(tmp_path, (HOST, dead.port))
        async with asyncio.timeout(5):
            with pytest.raises(OSError, match="does not answer for pbx"):
                await names.resolver.addresses("pbx.example.test")
        await names.tasks.stop()


async def test_the_system_knows_names_that_dns_does_not(tmp_path: Path) -> None:
    """Without servers of our own, localhost is found as any program finds it."""
    names = Names(tmp_path)
    assert set(await names.resolver.addresses("localhost")) <= {"127.0.0.1", "::1"}
    await names.tasks.stop()
