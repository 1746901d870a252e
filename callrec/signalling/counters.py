"""What the driver counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """Messages and connections since the start; a keep-alive is no message."""

    received: int = 0
    sent: int = 0
    send_failed: int = 0
    """Messages that the system did not take, or that had no connection to go by."""
    dropped_unknown: int = 0
    """Datagrams from sources that are no peer: they get nothing."""
    closed_unknown: int = 0
    """Connections from sources that are no peer: closed at accept."""
    closed_limit: int = 0
    """Connections closed because there were too many, or because the far side was too slow."""
    handshakes_failed: int = 0
    """TLS handshakes that did not end in a connection with whom it must be."""
    unparseable: int = 0
    keep_alives: int = 0
    transport_failures: int = 0
    """Flows found dead: ICMP, refused or broken connections."""
    internal_errors: int = 0
    """Faults of ours while a message or an event was taken; each is logged."""
