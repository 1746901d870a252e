"""What a call is told: by the two SIP legs, by the media worker, by the stores and by timers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Side(StrEnum):
    """Which leg of the call: the caller's INVITE to us, or our INVITE to the destination."""

    CALLER = "caller"
    DESTINATION = "destination"

    @property
    def other(self) -> Side:
        """The opposite leg."""
        return Side.DESTINATION if self is Side.CALLER else Side.CALLER


class Timer(StrEnum):
    """The timers a call asks for."""

    ANSWER = "answer"
    REPLY = "reply"
    """Until a destination that is not the last has said anything at all."""
    MENU = "menu"
    STOP_OFFER = "stop_offer"
    TONE = "tone"
    LONGEST_CALL = "longest_call"
    TRANSFER = "transfer"
    PAUSE = "pause"


@dataclass(frozen=True, slots=True)
class Started:
    """The INVITE has been read and decided upon."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """The row is durable (or is not: `row_kept`), and the call's RTP ports are open (or are not: `media`).

    `short`: the call cannot do without ports of ours, and ports or descriptors run short.
    """

    row_kept: bool
    media: bool
    short: bool = False


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The caller's ACK to our 2xx arrived.

    `usable` is False where the SDP in it cannot be used, `held` says that this SDP does not listen.
    """

    usable: bool = True
    held: bool = False


@dataclass(frozen=True, slots=True)
class PlayEnded:
    """The notice, prompt or tone ended; `completed` only with the evidence of NOT-14."""

    completed: bool


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """A party pressed one DTMF key."""

    side: Side
    key: str


@dataclass(frozen=True, slots=True)
class Trying:
    """An INVITE goes out to a destination; `more` says that another could be tried after it."""

    more: bool


@dataclass(frozen=True, slots=True)
class Redirected:
    """The destination sent us on, by a 3xx, to places that we may call (SIP-12)."""


@dataclass(frozen=True, slots=True)
class DestinationProgress:
    """The destination answered provisionally; `early_media` says that its SDP came with it."""

    status: int
    early_media: bool


@dataclass(frozen=True, slots=True)
class DestinationAnswered:
    """The destination answered 2xx; `held` says that its SDP does not take or send audio."""

    held: bool = False
    outside: bool = False
    """It was sent on to an outside party, which has not heard the notice (NOT-10)."""


@dataclass(frozen=True, slots=True)
class DestinationFailed:
    """The destination will not take the call; `another_codec`: the caller offered one not yet tried."""

    status: int
    another_codec: bool = False


@dataclass(frozen=True, slots=True)
class CallerRecoded:
    """The caller answered our re-INVITE for another codec."""

    accepted: bool


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The caller took its INVITE back."""


@dataclass(frozen=True, slots=True)
class HungUp:
    """A party ended its leg."""

    side: Side


@dataclass(frozen=True, slots=True)
class Reoffered:
    """A party sent a re-INVITE; `held` is what its offer says about its audio, None where it changes nothing.

    `late`: it made no offer and asks for one; its answer comes with `ReofferAcknowledged`.
    `early`: the call is not answered, and yet the other party can be asked: both have UPDATE and 100rel (RFC 3311).
    """

    side: Side
    held: bool | None
    late: bool = False
    early: bool = False


@dataclass(frozen=True, slots=True)
class ReofferAcknowledged:
    """A party's ACK brought its answer to an offer it had asked for; `held` is None where there is no usable one."""

    side: Side
    held: bool | None


@dataclass(frozen=True, slots=True)
class ReofferCancelled:
    """A party took its re-INVITE back: what was agreed before stays."""

    side: Side


@dataclass(frozen=True, slots=True)
class ReofferNotAccepted:
    """We could not accept a party's re-INVITE and refused it: its session stays as it was."""

    side: Side


@dataclass(frozen=True, slots=True)
class ReofferAnswered:
    """The party to whom a re-INVITE was passed accepted it; `held` is what its answer says."""

    side: Side
    held: bool


@dataclass(frozen=True, slots=True)
class ReofferFailed:
    """The party to whom a re-INVITE was passed refused it with `status`."""

    side: Side
    status: int


@dataclass(frozen=True, slots=True)
class TransferAsked:
    """A party asks us, by REFER, to put the other through to somebody (RFC 3515)."""

    side: Side


@dataclass(frozen=True, slots=True)
class TargetProgress:
    """Whom a transfer leads to answered provisionally."""

    status: int


@dataclass(frozen=True, slots=True)
class TargetAnswered:
    """Whom a transfer leads to has answered; `held`: without listening or speaking yet."""

    held: bool = False
    stopped: bool = False
    """It is on the stop list, or nobody knows who is."""
    outside: bool = False
    """It is an outside party, and has not heard the notice."""


@dataclass(frozen=True, slots=True)
class TargetFailed:
    """Whom a transfer leads to does not take the call."""

    status: int


@dataclass(frozen=True, slots=True)
class LegReplaced:
    """An INVITE asks to take the place of a party (Replaces, RFC 3891), and may."""

    side: Side
    target: TargetAnswered


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer the call asked for ran out."""

    timer: Timer


@dataclass(frozen=True, slots=True)
class Silent:
    """No RTP came from either party for the configured limit."""


@dataclass(frozen=True, slots=True)
class RecordingStopped:
    """A person or the stop list ended the recording of this call (LAW-39).

    `discard`: what it stored is to go too; otherwise it stays, and may still be discarded later.
    """

    discard: bool = True


@dataclass(frozen=True, slots=True)
class Pause:
    """Who stopped storing for a while, and what for: an OS user or `key`, and one of a few words."""

    by: str
    purpose: str


@dataclass(frozen=True, slots=True)
class PauseAsked:
    """Our own side, or a program of ours, wants nothing stored until it says so (LAW-72)."""

    pause: Pause


@dataclass(frozen=True, slots=True)
class ResumeAsked:
    """Our own side, or a program of ours, ends the pause."""

    by: str


@dataclass(frozen=True, slots=True)
class Protected:
    """A hold is over this call, or no longer: nobody discards what it stores, whoever asks (LAW-53)."""

    on: bool = True


@dataclass(frozen=True, slots=True)
class RecordingLost:
    """No audio of this call could be stored: nothing is left to seal."""


@dataclass(frozen=True, slots=True)
class SealNow:
    """The recorder is ending: both legs are hung up and what was recorded is sealed."""


Input = (
    Started
    | Prepared
    | Acknowledged
    | PlayEnded
    | KeyPressed
    | Trying
    | Redirected
    | DestinationProgress
    | DestinationAnswered
    | DestinationFailed
    | CallerRecoded
    | Cancelled
    | HungUp
    | Reoffered
    | ReofferAcknowledged
    | ReofferCancelled
    | ReofferNotAccepted
    | ReofferAnswered
    | ReofferFailed
    | TransferAsked
    | TargetProgress
    | TargetAnswered
    | TargetFailed
    | LegReplaced
    | TimerFired
    | Silent
    | RecordingStopped
    | PauseAsked
    | ResumeAsked
    | Protected
    | RecordingLost
    | SealNow
)
