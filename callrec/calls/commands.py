"""What a call asks for; the recorder carries each command out, in order."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from callrec.calls.inputs import Pause, Side, Timer
from callrec.calls.outcome import Outcome, Reason


class Tone(StrEnum):
    """The tones a caller may hear from us."""

    RINGBACK = "ringback"
    BUSY = "busy"
    UNOBTAINABLE = "unobtainable"


@dataclass(frozen=True, slots=True)
class Prepare:
    """Make the row durable and open the RTP ports; answered by `Prepared`."""


@dataclass(frozen=True, slots=True)
class GoTransparent:
    """Pass the call unrecorded for this reason; a `TransparentCall` takes over from here."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class AnswerCaller:
    """Send the caller our 200 with one codec; answered by `Acknowledged`."""


@dataclass(frozen=True, slots=True)
class PlayNotice:
    """Play the recording notice; answered by `PlayEnded`."""


@dataclass(frozen=True, slots=True)
class PlayMenu:
    """Tell the caller the keys of the menu; answered by `PlayEnded`."""


@dataclass(frozen=True, slots=True)
class PlayOptOutConfirmed:
    """Tell the caller that the call is not recorded (NOT-16); answered by `PlayEnded`."""


@dataclass(frozen=True, slots=True)
class PlayStopOffer:
    """Tell the caller the key that stops the recording of all their calls (NOT-16); answered by `PlayEnded`."""


@dataclass(frozen=True, slots=True)
class AddStop:
    """Enter the caller's number in the stop list: they pressed the key for it."""


@dataclass(frozen=True, slots=True)
class PlayTone:
    """Play a tone to a party until it is stopped or, where not for ever, ended by `PlayEnded`."""

    tone: Tone
    forever: bool = False
    side: Side = Side.CALLER


@dataclass(frozen=True, slots=True)
class StopPlay:
    """Stop what plays to a party; no `PlayEnded` follows for it."""

    side: Side = Side.CALLER


@dataclass(frozen=True, slots=True)
class Dial:
    """Call the first destination: of the chosen menu key, or the route's own where `menu_key` is None.

    Answered by `Trying`, and by how it ended.
    """

    menu_key: str | None = None


@dataclass(frozen=True, slots=True)
class DialNext:
    """Call the next destination: the one before did not answer, failed, or sent us on."""


@dataclass(frozen=True, slots=True)
class DialAgain:
    """Call the same destination again: the caller has taken another codec."""


@dataclass(frozen=True, slots=True)
class RecodeCaller:
    """Send the caller a re-INVITE with the next codec of its offer; answered by `CallerRecoded`."""


@dataclass(frozen=True, slots=True)
class CancelDestination:
    """Take our INVITE to the destination back."""


@dataclass(frozen=True, slots=True)
class Link:
    """Relay audio between the two legs; `early` while the destination has not answered."""

    early: bool = False


@dataclass(frozen=True, slots=True)
class StartRecording:
    """Store both voices from now on, or from the end of the pause that is on already."""

    pause: Pause | None = None


@dataclass(frozen=True, slots=True)
class DiscardRecording:
    """Destroy what this call stored (key first), record nothing more of it."""


@dataclass(frozen=True, slots=True)
class EndRecording:
    """Store nothing more and seal what was stored: it stays, while the call goes on."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Hold:
    """Store nothing of either side from now on; the time line keeps its length (NOT-20)."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Store both sides again."""


@dataclass(frozen=True, slots=True)
class PauseRecording:
    """Store nothing of either side, before the next packet; the time line keeps its length (LAW-72, LAW-73)."""

    pause: Pause


@dataclass(frozen=True, slots=True)
class ResumeRecording:
    """End the pause; `expired` where nobody did until its limit, which is an alert."""

    by: str
    expired: bool = False


@dataclass(frozen=True, slots=True)
class PassProgress:
    """Give the caller the destination's provisional response."""


@dataclass(frozen=True, slots=True)
class PassAnswer:
    """Give the caller the destination's 2xx."""


@dataclass(frozen=True, slots=True)
class PassAcknowledgement:
    """Give the destination the answer that came in the caller's ACK."""


@dataclass(frozen=True, slots=True)
class RejectCaller:
    """Give the caller a final response: the destination's where `status` is None."""

    status: int | None = None


@dataclass(frozen=True, slots=True)
class AcceptReoffer:
    """Answer a party's re-INVITE ourselves with the session as it is."""

    side: Side


@dataclass(frozen=True, slots=True)
class PassReoffer:
    """Pass a party's re-INVITE on to the other; answered by `ReofferAnswered` or `ReofferFailed`.

    One without an offer goes on without one.
    """

    side: Side


@dataclass(frozen=True, slots=True)
class PassReofferAcknowledgement:
    """Give the other party the answer that came in this one's ACK (a re-INVITE without an offer)."""

    side: Side


@dataclass(frozen=True, slots=True)
class RepeatSession:
    """Send a party what the other last agreed to: it accepted a re-INVITE that was taken back meanwhile."""

    side: Side


@dataclass(frozen=True, slots=True)
class PassReofferAnswer:
    """Answer the party's re-INVITE with what the other party answered."""

    side: Side


@dataclass(frozen=True, slots=True)
class RefuseReoffer:
    """Refuse a party's re-INVITE; its session stays as it was."""

    side: Side
    status: int


@dataclass(frozen=True, slots=True)
class RefuseTransfer:
    """Refuse a REFER, or an INVITE with Replaces, with this status; nothing changes."""

    status: int


@dataclass(frozen=True, slots=True)
class BeginTransfer:
    """Accept a REFER and call whom it names; answered by `TargetProgress`, `TargetAnswered` or `TargetFailed`."""


@dataclass(frozen=True, slots=True)
class TellTransfer:
    """Tell the transferor how far the transfer has come (NOTIFY with sipfrag, RFC 3515 2.4.5)."""

    status: int


@dataclass(frozen=True, slots=True)
class EndTransfer:
    """Give up a transfer: whom it leads to is called no longer."""


@dataclass(frozen=True, slots=True)
class PutThrough:
    """Let the new party take the place of this one, which is hung up: legs, media, recording, row."""

    side: Side


@dataclass(frozen=True, slots=True)
class RepeatNotice:
    """Play the notice of the call to a new party (NOT-10); answered by `PlayEnded`."""

    side: Side


@dataclass(frozen=True, slots=True)
class HangUp:
    """End a leg; `reason` becomes its `Reason: Q.850` header, None passes the other leg's on."""

    side: Side
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Tell `TimerFired` after the limit that the configuration gives this timer."""

    timer: Timer


@dataclass(frozen=True, slots=True)
class StopTimer:
    """Forget a timer."""

    timer: Timer


@dataclass(frozen=True, slots=True)
class Finish:
    """The call is over: seal what was recorded, close the row with this outcome, release everything."""

    outcome: Outcome


Command = (
    Prepare
    | GoTransparent
    | AnswerCaller
    | PlayNotice
    | PlayMenu
    | PlayOptOutConfirmed
    | PlayStopOffer
    | AddStop
    | PlayTone
    | StopPlay
    | Dial
    | DialNext
    | DialAgain
    | RecodeCaller
    | CancelDestination
    | Link
    | StartRecording
    | DiscardRecording
    | EndRecording
    | Hold
    | Resume
    | PauseRecording
    | ResumeRecording
    | PassProgress
    | PassAnswer
    | PassAcknowledgement
    | RejectCaller
    | AcceptReoffer
    | PassReoffer
    | PassReofferAcknowledgement
    | RepeatSession
    | PassReofferAnswer
    | RefuseReoffer
    | RefuseTransfer
    | BeginTransfer
    | TellTransfer
    | EndTransfer
    | PutThrough
    | RepeatNotice
    | HangUp
    | SetTimer
    | StopTimer
    | Finish
)
