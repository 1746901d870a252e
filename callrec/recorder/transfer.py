"""A transfer under way: who asked for it, whom it leads to, and what the transferor is to be told."""

from __future__ import annotations

from dataclasses import dataclass, field

from callrec.calls.destinations import Destination, Destinations
from callrec.calls.inputs import Side
from callrec.recorder.joining import Consultation
from callrec.recorder.leg import Leg
from callrec.recorder.passed_headers import Header
from callrec.sip.uri import Uri


@dataclass(slots=True)
class LiveTransfer:
    """One transfer; its leg is that of the new party until it takes the transferor's place."""

    side: Side
    leg: Leg
    token: str = ""
    """By which the REFER is answered; empty where an INVITE with Replaces came instead."""
    refer_to: Uri | None = None
    event_id: str = ""
    """The CSeq of the REFER, by which its NOTIFYs name it (RFC 3515 2.4.6)."""
    notifies: bool = True
    """False where the transferor wants no NOTIFY (RFC 4488)."""
    headers: tuple[Header, ...] = ()
    """For the INVITE to the new party: Referred-By, and Replaces as it was given."""
    destinations: Destinations = field(default_factory=lambda: Destinations(()))
    trying: Destination | None = None
    consultation: Consultation | None = None
    """Where the new party comes from, if that is another call of ours."""
    answer: bytes | None = None
    """What the new party is answered whose INVITE came with Replaces."""
    over: bool = False
