"""Asks DNS, and remembers: the one module that knows dnspython.

An answer counts for its TTL, within bounds; a "no" as RFC 2308 has it. Where DNS does not answer, what it last said is
used for as long as that lasts (RFC 8767): calls fail open. However many calls want a name, it is asked for once.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import dns.asyncresolver
import dns.exception
import dns.message
import dns.name
import dns.nameserver
import dns.resolver

from callrec.signalling.system_names import SystemNames
from callrec.sip.locating import MOST_RECORDS, Naptr, Srv
from callrec.tasks import Tasks

log = logging.getLogger("callrec.signalling")

Kind = Literal["A", "AAAA", "SRV", "NAPTR"]
Server = tuple[str, int]
"""IP address and port of a DNS server."""

TRY_S = 1.0
"""Seconds one server may take before the next is asked; one that took longer is asked last from then on."""
QUESTION_S = 3.5
"""Seconds one question may take, whoever is asked: a call gives a name 5 s in all."""
STALE_AFTER_S = 0.5
"""Seconds a call waits for news of a name that was known before; then what was known is used (RFC 8767 5)."""
STALE_S = 30.0
"""Seconds what was known counts on after DNS did not answer."""
FAILED_S: dict[Kind, float] = {"A": 5.0, "AAAA": 5.0, "SRV": 30.0, "NAPTR": 30.0}
"""Seconds a question without an answer is not asked again: a server that drops NAPTR must not slow every call."""
SHORTEST_S, LONGEST_S, LONGEST_NO_S = 5.0, 3600.0, 300.0
"""Bounds of what a TTL may say: of an answer, and of a "no"."""
_REMEMBERED = 2048


@dataclass(slots=True)
class _Known:
    """What DNS said to a question, and until when (monotonic) it is not asked again; None: it never answered."""

    records: tuple[Any, ...] | None
    expires: float


class Resolver:
    """Names of hosts and services, by DNS and by this machine's own files.

    `servers` are asked in their order; where there are none, those of /etc/resolv.conf are, and what DNS does not know
    is asked of the system (getaddrinfo), which may know more.
    """

    def __init__(
        self,
        servers: Sequence[Server],
        tasks: Tasks,
        now: Callable[[], float],
        system: SystemNames | None = None,
    ) -> None:
        self._servers, self._tasks, self._now = tuple(servers), tasks, now
        self._system = system or SystemNames(now)
        self._slow: dict[Server, None] = {}
        self._known: dict[tuple[str, Kind], _Known] = {}
        self._asking: dict[tuple[str, Kind], asyncio.Task[None]] = {}

    def is_pinned(self, host: str) -> bool:
        """Whether /etc/hosts says where a host is: then DNS is not asked, not for services either."""
        return bool(self._system.addresses(host))

    async def addresses(self, host: str) -> tuple[str, ...]:
        """Return the IP addresses of a host, of both families.

        Raises:
            OSError: where there is none, or nobody answers.
        """
        if pinned := self._system.addresses(host):
            return pinned
        answers = await asyncio.gather(self._ask(host, "AAAA"), self._ask(host, "A"))
        found = tuple(address for answer in answers if answer is not None for address in answer)
        if found:
            return found
        if not self._servers and (not self._system.servers() or None not in answers):
            return await self._by_system(host)
        if None in answers:
            raise OSError(f"DNS does not answer for {host}")
        raise OSError(f"DNS knows no address of {host}")

    async def services(self, name: str) -> tuple[Srv, ...]:
        """Return the SRV records of a name; none where DNS does not answer."""
        return await self._ask(name, "SRV") or ()

    async def naptr(self, name: str) -> tuple[Naptr, ...]:
        """Return the NAPTR records of a name; none where DNS does not answer."""
        return await self._ask(name, "NAPTR") or ()

    async def _by_system(self, host: str) -> tuple[str, ...]:
        answers = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_DGRAM)
        return tuple(dict.fromkeys(str(answer[4][0]) for answer in answers))

    async def _ask(self, name: str, kind: Kind) -> tuple[Any, ...] | None:
        """Return the records of a name, as fresh as can be had; None where DNS does not answer and never did."""
        key = (name.lower().rstrip("."), kind)
        known = self._known.get(key)
        if known is not None and known.expires > self._now():
            return known.records
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = self._tasks.start(f"dns {kind}", self._question(key))
            asking.add_done_callback(lambda _: self._asking.pop(key, None))
        has_old = known is not None and known.records is not None
        # Not awaited itself: a caller that gives up must not end the question of the others.
        await asyncio.wait({asking}, timeout=STALE_AFTER_S if has_old else QUESTION_S + TRY_S)
        now_known = self._known.get(key, known)
        return None if now_known is None else now_known.records

    async def _question(self, key: tuple[str, Kind]) -> None:
        name, kind = key
        old = self._known.pop(key, None)
        if old is not None:
            self._known[key] = old  # the youngest stands last
        found = await self._answer(name, kind)
        if found is not None:
            self._enter(key, found)
        elif old is not None and old.records is not None:
            log.warning("DNS does not answer (%s of %s): what it said before is used", kind, name)
            old.expires = self._now() + STALE_S
        else:
            self._enter(key, _Known(None, self._now() + FAILED_S[kind]))

    def _enter(self, key: tuple[str, Kind], known: _Known) -> None:
        self._known.pop(key, None)
        while len(self._known) >= _REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[key] = known

    async def _answer(self, name: str, kind: Kind) -> _Known | None:
        """Ask one server after the other, as long as there is time; return None where no one answers."""
        loop = asyncio.get_running_loop()
        until = loop.time() + QUESTION_S
        while servers := self._in_turn():
            for server in servers:
                left = until - loop.time()
                if left <= 0:
                    return None
                try:
                    found = await self._ask_one(server, name, kind, min(TRY_S, left))
                except (dns.exception.Timeout, dns.resolver.NoNameservers, OSError):
                    self._slow.pop(server, None)
                    self._slow[server] = None
                    continue
                except (dns.exception.DNSException, ValueError):
                    return None  # no name that DNS could know, or an answer that cannot be read
                self._slow.pop(server, None)
                return found
            await asyncio.sleep(0.05)  # all refuse at once: not a busy loop
        return None

    def _in_turn(self) -> list[Server]:
        """Return the servers in the order in which they are asked: those that did not answer last, the latest last."""
        servers = list(dict.fromkeys(self._servers or self._system.servers()))
        slow = [server for server in self._slow if server in servers]
        return [server for server in servers if server not in self._slow] + slow

    async def _ask_one(self, server: Server, name: str, kind: Kind, limit_s: float) -> _Known:
        client = dns.asyncresolver.Resolver(configure=False)
        client.nameservers = [dns.nameserver.Do53Nameserver(*server)]
        client.use_edns(0, 0, 1232)
        client.timeout = client.lifetime = limit_s
        question = dns.name.from_text(name)
        try:
            answer = await client.resolve(question, kind, raise_on_no_answer=False, search=False)
        except dns.resolver.NXDOMAIN as error:
            return self._no(error.kwargs["responses"][question])
        if answer.rrset is None:
            return self._no(answer.response)
        seconds = answer.chaining_result.minimum_ttl
        records = tuple(_read(kind, record) for record in list(answer.rrset)[:MOST_RECORDS])
        return _Known(records, self._now() + min(max(seconds, SHORTEST_S), LONGEST_S))

    def _no(self, response: dns.message.QueryMessage) -> _Known:
        """Return a "no"; how long it counts says the SOA record beside it (RFC 2308 5)."""
        seconds = response.resolve_chaining().minimum_ttl
        return _Known((), self._now() + min(max(seconds, SHORTEST_S), LONGEST_NO_S))


def _read(kind: Kind, record: Any) -> str | Srv | Naptr:
    """Return a record of dnspython as ours."""
    if kind == "SRV":
        return Srv(record.priority, record.weight, record.port, _name(record.target))
    if kind == "NAPTR":
        flags, service = record.flags.decode("ascii", "replace"), record.service.decode("ascii", "replace")
        return Naptr(record.order, record.preference, flags, service, _name(record.replacement))
    return str(record.address)


def _name(name: dns.name.Name) -> str:
    return str(name).rstrip(".") or "."
