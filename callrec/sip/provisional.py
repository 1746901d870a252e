"""What a leg keeps of provisional responses that must arrive (RFC 3262): those it sent, and those it owes a PRACK."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from callrec.sip.building import HeaderPairs
from callrec.sip.transactions import T1

MAX_WAITING = 8
"""Provisional responses that wait for the PRACK of one before; of more than these the oldest is left out."""


class Provisional(NamedTuple):
    """A provisional response as the user wants it."""

    status: int
    session: bytes | None
    headers: HeaderPairs


class Final(NamedTuple):
    """A 2xx that waits: none may overtake the PRACK of a response with a session (RFC 3262 3)."""

    session: bytes | None
    headers: HeaderPairs


@dataclass(slots=True)
class Unacknowledged:
    """A reliable response that repeats until its PRACK comes."""

    rseq: int
    data: bytes
    has_session: bool
    interval: float = T1


@dataclass(slots=True)
class ReliableResponses:
    """What was sent reliably to one INVITE."""

    rseq: int
    sent: Unacknowledged | None = None
    waiting: deque[Provisional] = field(default_factory=lambda: deque(maxlen=MAX_WAITING))
    final: Final | None = None
    last: Provisional | None = None
    session_sent: bool = False
    agreed: bool = False
    """A session went out and its PRACK came: offer and answer are complete before the 2xx."""


class OwedPrack(NamedTuple):
    """A reliable response with an offer: its PRACK waits for the user's answer."""

    tag: str
    rack: str
