"""What a worker keeps of one leg's RTCP: its reports, where they come from, and what they told of a notice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from callrec.media.remote import Source
from callrec.rtp.reporting import Reporting

if TYPE_CHECKING:
    from callrec.media.playing import Playing


@dataclass(slots=True)
class Control:
    """The RTCP of one leg; None is not known yet."""

    reporting: Reporting | None = None
    loss: float | None = None
    """The worst that a report told since a play began, 0 to 1."""
    refused: int = 0
    """Reports that the far host refused since it last sent one."""
    source: Source | None = None
    """Where the far side's reports come from."""
    unconfirmed: Playing | None = None
    """A notice that has ended and whose last packet no report has reached yet."""
    octets: int = 0
    """Of payload sent, as far as a look once a second can tell."""
    octets_until: int = 0
    """How many packets are counted in `octets`."""
    turn: int = 0
    """How many reports have been due."""
    heard_until: int = 0
    """How many packets had come when the last report was due."""

    def forget_place(self) -> None:
        """The far side has another address: who refused, and where reports came from, says nothing of it."""
        self.source, self.refused = None, 0

    @property
    def reached(self) -> int | None:
        """Return the highest of our sequence numbers that a report told as reached since a play began."""
        if self.loss is None or self.reporting is None or self.reporting.heard is None:
            return None
        return self.reporting.heard.highest_sequence & 0xFFFF

    def covers(self, sequence_number: int | None) -> bool:
        """Tell whether a report since the play began told this packet of ours as reached."""
        if sequence_number is None or self.reached is None or self.reporting is None or self.reporting.heard is None:
            return False
        return self.reporting.heard.covers(sequence_number)
