"""Where a SIP URI leads, as decisions: which names DNS is asked for, and in which order its answers are tried.

RFC 3263 4 (NAPTR, SRV, then addresses), RFC 2782 (the order of SRV records), RFC 7984 (both families). No I/O: who asks
brings the answers, and random bytes for the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from callrec.sip.dialog import is_literal, transport_of

if TYPE_CHECKING:
    from callrec.sip.events import SipTransport
    from callrec.sip.uri import Uri

MOST_TARGETS = 6
"""Places of one URI that are tried; at 4 s of silence each, all of them end before the time a call may ring."""
MOST_RECORDS = 32
"""Records of one answer that are looked at."""

_NAPTR: Mapping[str, SipTransport] = {"sip+d2u": "udp", "sip+d2t": "tcp", "sips+d2t": "tls"}
"""Services of NAPTR that we speak; SCTP and WebSocket are none of them (RFC 3263 4.1)."""
_SRV: Mapping[SipTransport, str] = {"udp": "_sip._udp", "tcp": "_sip._tcp", "tls": "_sips._tcp"}


@dataclass(frozen=True, slots=True)
class Naptr:
    """One NAPTR record (RFC 3403 4.1); `replacement` is the name to ask for SRV next."""

    order: int
    preference: int
    flags: str
    service: str
    replacement: str


@dataclass(frozen=True, slots=True)
class Srv:
    """One SRV record (RFC 2782); a target of "." says that the service is decidedly not offered."""

    priority: int
    weight: int
    port: int
    target: str


@dataclass(frozen=True, slots=True)
class Service:
    """An SRV question, and the transport that its answers are for."""

    transport: SipTransport
    name: str


def has_services(uri: Uri) -> bool:
    """Whether DNS may choose host and port: a name without a port; any port, also 5060, is the caller's choice."""
    return uri.port is None and not is_literal(target_of(uri))


def target_of(uri: Uri) -> str:
    """Return the host that counts: `maddr` before the host part (RFC 3263 4)."""
    return uri.parameter("maddr") or uri.host


def transports_for(uri: Uri, ours: Sequence[SipTransport]) -> tuple[SipTransport, ...]:
    """Return the transports that a URI leaves open, in our order: the one it names, or all that we speak."""
    if uri.scheme == "sips" or uri.parameter("transport"):
        return (transport_of(uri),)
    return tuple(dict.fromkeys(ours))


def services(host: str, naptrs: Iterable[Naptr], allowed: Sequence[SipTransport]) -> tuple[Service, ...]:
    """Return the SRV questions for a host, the best first (RFC 3263 4.1): those of its NAPTR records, else the usual.

    NAPTR orders what we speak; records for what we do not speak are left out. Where none is of use, the names of
    RFC 3263 4.1 are asked for, in the order of `allowed`.
    """
    found = [
        Service(_NAPTR[record.service.lower()], record.replacement)
        for record in sorted(naptrs, key=lambda record: (record.order, record.preference))
        if record.flags.lower() == "s" and record.replacement and _NAPTR.get(record.service.lower()) in allowed
    ]
    return tuple(dict.fromkeys(found)) or tuple(
        Service(transport, f"{_SRV[transport]}.{host}") for transport in allowed
    )


def in_order(records: Iterable[Srv], random: Callable[[int], bytes]) -> list[Srv]:
    """Return SRV records in the order in which they are tried (RFC 2782): by priority, then drawn by weight.

    `random` gives so many random bytes; a record of weight 0 is drawn first only by a chance that is close to none.
    """
    offered = [record for record in records if record.target not in {"", "."}]
    ordered: list[Srv] = []
    by_priority = sorted(offered, key=lambda record: (record.priority, record.weight, record.target, record.port))
    for _, group in groupby(by_priority, key=lambda record: record.priority):
        left = list(group)
        while left:
            ordered.append(left.pop(_drawn(left, random)))
    return ordered[:MOST_RECORDS]


def _drawn(records: Sequence[Srv], random: Callable[[int], bytes]) -> int:
    """Return the index of the record that is drawn; those of weight 0 stand first, as RFC 2782 asks."""
    drawn = int.from_bytes(random(4)) % (sum(record.weight for record in records) + 1)
    for index, record in enumerate(records):
        drawn -= record.weight
        if drawn <= 0:
            return index
    raise AssertionError("internal error: a weight beyond the sum of all weights was drawn")


def is_refused(records: Iterable[Srv]) -> bool:
    """Whether the answer says that the service is decidedly not offered: one record, whose target is "."."""
    return [record.target for record in records] == ["."]
