"""What the media service tells: one value an event."""

from __future__ import annotations

from dataclasses import dataclass, field

from callrec.sip.events import Address


@dataclass(frozen=True, slots=True)
class Latched:
    """The source of a leg's media is known."""

    call_id: str
    leg: str
    address: Address
    how: str
    """`signalled`: as the SDP said; `nat`: learned; `permitted`: another address of the SDP or `media_addresses`."""


@dataclass(frozen=True, slots=True)
class Digit:
    """A key was pressed (RFC 4733); told once a press, at its first packet."""

    call_id: str
    leg: str
    digit: str = field(repr=False)
    """One of `0123456789*#ABCD`; never logged, never stored but for the opt-out (LAW-74)."""


@dataclass(frozen=True, slots=True)
class Played:
    """A play has ended; the evidence of NOT-13 as far as the sender of the packets can know it."""

    call_id: str
    leg: str
    play_id: str
    kind: str
    completed: bool
    """As NOT-14 says, and never if a packet was refused or the timer stood still."""
    interrupted_by: str | None
    """None, or `stopped`, `closed`, `hold`, `remote_changed`, `refused`, `stall`, `rtcp_loss`, `no_address`,
    `no_prompt`, `error`, `worker`, or the word that `stop_play` was given."""
    codec: str
    expected_ms: int
    sent_ms: int
    packets_sent: int
    """Sends that succeeded and were not refused."""
    packets_refused: int
    first_sequence: int | None
    last_sequence: int | None
    started_at: float
    """Seconds since 1970, of the first packet; of the end where none was sent."""
    ended_at: float
    far_direction: str
    """The far end's direction during the play: `sendrecv`, `recvonly`, `sendonly` or `inactive`."""
    rtcp_loss_fraction: float | None = None
    """The worst that a receiver report told during the play, 0 to 1; None without reports."""
    rtcp_highest_sequence: int | None = None
    """The highest of our sequence numbers that such a report told as reached."""
    confirmed: bool = False
    """It was completed and a report told its last packet as reached (grade A, else B)."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A receiver report told the last packet of a notice as reached, after the notice had ended (NOT-13)."""

    call_id: str
    leg: str
    play_id: str
    loss: float
    """The worst that a report told since the notice began, 0 to 1."""
    highest_sequence: int


@dataclass(frozen=True, slots=True)
class Gap:
    """Audio of this span is not in the recording. Milliseconds from the start of the recording.

    A long gap is told every few seconds with the same start and a later end, at last with `final`.
    """

    call_id: str
    start_ms: int
    end_ms: int
    reason: str
    """`storage`: the disk did not take it; `interrupted`: a media process was replaced."""
    final: bool = True


@dataclass(frozen=True, slots=True)
class RecordingPaused:
    """From here on nothing is stored of a call, or again; whatever came before is dealt with."""

    call_id: str
    on: bool


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a recording."""

    part: int
    path: str
    """Of the sealed file, or of the `.partial` one where `sealed` is False."""
    sealed: bool
    """False where its writer died or its disk failed: the file is authentic up to its last whole segment."""
    segments: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Sealed:
    """A recording is complete and durable."""

    call_id: str
    recording_id: str
    parts: tuple[Part, ...]
    duration_ms: int
    """From its start to the command that sealed it."""
    packets: int
    """Stored, of both sides, by the part sealed last."""


@dataclass(frozen=True, slots=True)
class Discarded:
    """What a call had stored is unlinked; `removed` files, and their folder is synced."""

    call_id: str
    recording_id: str
    removed: int


@dataclass(frozen=True, slots=True)
class RecordingFailed:
    """Nothing more of this call is stored; its sealed and partial parts are named as far as they exist."""

    call_id: str
    recording_id: str
    reason: str
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class LegStats:
    """One leg's counters since it was opened."""

    call_id: str
    leg: str
    packets_received: int
    packets_lost: int
    packets_sent: int
    packets_refused: int
    """The far host answered with ICMP unreachable."""
    packets_dropped: int
    """Strangers, junk and RTCP on the RTP port."""
    silent_ms: int
    """Since the last RTP from the party, or since the leg was opened."""


@dataclass(frozen=True, slots=True)
class LegQuality:
    """How a leg sounds, measured here and as its far side reports it (RFC 3550 6.4); None is not known.

    Told with every fourth report, about every 16 s, and when the leg is closed.
    """

    call_id: str
    leg: str
    jitter_us: int | None
    """Mean interarrival jitter of what the party sends, in microseconds."""
    jitter_max_us: int | None
    round_trip_us: int | None
    """Between us and the far side, as the last report allowed to tell."""
    far_lost: int | None
    """Packets of ours that the far side missed."""
    far_loss_max: float | None
    """The worst share that one of its reports told, 0 to 1."""
    far_jitter_us: int | None


@dataclass(frozen=True, slots=True)
class LegClosed:
    """A leg is closed; its last counters were told before. Nothing follows where its worker was lost."""

    call_id: str
    leg: str


@dataclass(frozen=True, slots=True)
class StatsReport:
    """The counters of one worker's legs, once a second."""

    worker_pid: int
    legs: tuple[LegStats, ...]


@dataclass(frozen=True, slots=True)
class StorageBlocked:
    """A worker's writes do not come back or fail; calls go on, at most 5 s of each is kept in memory."""

    worker_pid: int
    detail: str


@dataclass(frozen=True, slots=True)
class StorageRecovered:
    """A worker's writes go through again."""

    worker_pid: int
    blocked_ms: int


@dataclass(frozen=True, slots=True)
class WorkerReplaced:
    """A media process died or was silent; its calls live on in another."""

    old_pid: int
    new_pid: int
    reason: str
    """`died` or `silent`."""
    calls: int


@dataclass(frozen=True, slots=True)
class KeysLost:
    """Our key of SRTP on this leg died with its worker: the party hears nothing until `set_remote` brings another."""

    call_id: str
    leg: str


@dataclass(frozen=True, slots=True)
class MediaLost:
    """The call's media could not be restored."""

    call_id: str
    reason: str


MediaEvent = (
    Latched
    | Digit
    | Played
    | Confirmed
    | Gap
    | RecordingPaused
    | Sealed
    | Discarded
    | RecordingFailed
    | LegQuality
    | LegClosed
    | StatsReport
    | StorageBlocked
    | StorageRecovered
    | WorkerReplaced
    | KeysLost
    | MediaLost
)
