"""What can be set, section by section: names, types, defaults and meaning.

The attribute names are the keys of the configuration file. The two keys that are words of Python (`route.from` and
`retention_class.from`) are the attributes `from_`.
"""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

from pydantic import Field, PrivateAttr, Strict

from callrec.settings.choices import (
    CaptureDirection,
    EventNumbers,
    FullDisk,
    LawfulBasis,
    Region,
    RetentionStart,
    Role,
    WithheldNumberPolicy,
)
from callrec.settings.origin import Origins
from callrec.settings.paths import OptionalFile, ResolvedFile, ResolvedPath
from callrec.settings.section import Section
from callrec.settings.signalling import Emergency, Peer, Route, Sip
from callrec.settings.types import (
    AddressOrEmpty,
    Broker,
    Count,
    Country,
    Destinations,
    DestinationsOrEmpty,
    Digits,
    Duration,
    IpOrEmpty,
    Key,
    KeyOrNothing,
    Keys,
    Line,
    Percent,
    Period,
    Ports,
    Size,
    Switch,
    Text,
    TimeZone,
    Word,
    WordOrEmpty,
)
from callrec.settings.values import ByteSize


class Org(Section):
    """Who runs this recorder."""

    name: Line = Field(default="Better Comms", description="Name of the organisation, in reports and letters.")
    timezone: TimeZone = Field(
        default="Europe/London", description="Time zone in which dates are shown and periods counted."
    )
    country: Country = Field(default="GB", description="Numbering plan of numbers without a country code.")
    contact: Text = Field(
        default="",
        description="How people reach you about recordings of them, on one line, in letters; empty: by answering.",
    )


class Node(Section):
    """This machine among several."""

    id: Word = Field(default="rec1", description="Name of this recorder, in MQTT topics and events.")
    test: Switch = Field(default=False, description="Honour CALLREC_CLOCK_OFFSET (seconds). Never in production.")


class Paths(Section):
    """Where things lie."""

    recordings: ResolvedPath = Field(
        default=Path("/var/lib/callrec/recordings"), description="Folder of the encrypted recordings."
    )
    state: ResolvedPath = Field(
        default=Path("/var/lib/callrec"), description="Folder of catalogue, keyring, ledger, imported notices and lock."
    )


class Keys_(Section):  # noqa: N801 - `Keys` is the value type above; the section is only met as Settings.keys
    """Keys that come from outside."""

    master_key_file: ResolvedFile = Field(
        default=Path("master-key"), description="File of the master key that wraps every other key."
    )


class Rtp(Section):
    """Media."""

    bind: IpOrEmpty = Field(
        default="", description="Local IP address of RTP; empty means that of the route to the peer."
    )
    advertise: AddressOrEmpty = Field(default="", description="Address written in SDP; empty means the local address.")
    ports: Ports = Field(
        default=range(10000, 30000), description="UDP ports of RTP and RTCP: begins with an even port, at least two."
    )
    workers: Annotated[int, Strict(), Field(ge=1, le=256)] = Field(
        default=1, description="Media processes; one for each core."
    )
    wideband: Switch = Field(
        default=False,
        description="Answer callers in G.722 or Opus where they prefer it; else only where they offer no G.711.",
    )


class Attendant(Section):
    """Keys that a party may press."""

    opt_out_key: Key = Field(default="9", description="Declines recording during notice and menu.")
    opt_out_after_connect: Keys = Field(default="*9", description="Declines recording once connected.")
    stop_key: KeyOrNothing = Field(
        default="", description="Offered after declining: no later call of this number is recorded; empty offers none."
    )
    pause_key: Digits = Field(
        default="*7", description="Pauses the recording, pressed by our own side once connected; empty is none."
    )
    resume_key: Digits = Field(
        default="*8", description="Ends that pause; the same as pause_key makes it a switch; empty is none."
    )


class CallingLine(Section):
    """Calling Line Identification."""

    withheld_number_policy: WithheldNumberPolicy = Field(
        default=WithheldNumberPolicy.DROP, description="What is kept of a withheld number: drop, keyed_hash or sealed."
    )


class Limits(Section):
    """Where callrec stops or warns."""

    longest_call: Duration = Field(default=timedelta(hours=8), description="A call is ended after this time.")
    rtp_silence: Duration = Field(
        default=timedelta(seconds=60), description="A connected call without any media for this time is ended."
    )
    min_free: Size = Field(
        default=ByteSize(2**30), description="Free space on the recordings' disk below which nothing is recorded."
    )
    full_disk: FullDisk = Field(
        default=FullDisk.UNRECORDED,
        description="With less: pass lets calls go on unrecorded, refuse answers those to be recorded 503.",
    )
    longest_pause: Duration = Field(
        default=timedelta(minutes=5), description="A paused recording resumes after this time."
    )
    keep_traces: Duration = Field(
        default=timedelta(days=7), description="How long the SIP messages of a call are kept, sealed."
    )
    most_traces: Size = Field(
        default=ByteSize(2**30), description="Space for all of them; beyond it the oldest go, and 0B keeps none."
    )


class CaptureRule(Section):
    """What may be recorded, why, and by whom; without a rule nothing is (LAW-1, LAW-2)."""

    name: Word = Field(description="Name used by route.rule.")
    direction: CaptureDirection = Field(description="inbound or outbound.")
    controller: Line = Field(description="Who is responsible for the recording (UK GDPR).")
    purpose: Line = Field(description="What the recording is for.")
    lawful_basis: LawfulBasis = Field(
        description="UK GDPR Article 6: legitimate_interests, contract or legal_obligation."
    )
    assessment_ref: Text = Field(
        default="", description="Reference of the assessment; needed for legitimate_interests (LAW-6)."
    )
    notice: Word = Field(description="Id of the notice played before recording.")
    menu: WordOrEmpty = Field(default="", description="Name of the menu offered after the notice; empty means none.")
    retention_class: Word = Field(description="Name of the retention class of its calls.")


class RetentionClass(Section):
    """How long a kind of recording is kept."""

    name: Word = Field(description="Name used by capture_rule.retention_class.")
    keep: Period = Field(
        description="Period such as 2y, 6m (months), 4w or 28d, by the calendar (LAW-57); 0d: at once, at that end."
    )
    from_: RetentionStart = Field(
        default=RetentionStart.CALL,
        alias="from",
        description="Where it counts from: call, relationship_end or contract_end.",
    )


class Menu(Section):
    """Keys that choose a destination after the notice."""

    name: Word = Field(description="Name used by capture_rule.menu.")
    prompt: WordOrEmpty = Field(
        default="", description="Id of the prompt that tells the keys; empty if the notice does."
    )
    timeout: Duration = Field(default=timedelta(seconds=5), description="How long to wait for a key after the prompt.")
    default: DestinationsOrEmpty = Field(
        default=(),
        description="SIP URI, or a list, if no key or a foreign key was pressed; empty means the route's destination.",
    )
    digits: dict[Key, Destinations] = Field(
        min_length=1,
        description="Table of key = SIP URI or a list of them, the user part defaulting to the called number.",
    )


class Mqtt(Section):
    """The broker that carries events away; without this table they stay in the outbox."""

    url: Broker = Field(
        default=None, description="mqtt:// or mqtts:// with host and port; absent means events stay in the outbox."
    )
    username: Text = Field(default="", description="User name at the broker; empty means none.")
    password_file: OptionalFile = Field(default=None, description="File of the password at the broker.")
    ca_file: OptionalFile = Field(
        default=None, description="Certificates that may sign the broker's; turns TLS on, as mqtts:// does."
    )
    numbers: EventNumbers = Field(
        default=EventNumbers.HASH, description="Telephone numbers in events: hash (none), last4 or full."
    )


class Privacy(Section):
    """Erasing, and who must agree."""

    ledger_copy: ResolvedPath = Field(
        default=Path("/var/backups/callrec/ledger"),
        description="Copy of the tombstone ledger outside the state folder.",
    )
    four_eyes: Switch = Field(
        default=True, description="Approving a request and releasing a hold need a second person."
    )
    outside_stores: tuple[Line, ...] = Field(
        default=(), description="Stores outside callrec that a person ticks when erasing."
    )
    bank_holidays: Region = Field(
        default=Region.ENGLAND_AND_WALES,
        description="Whose bank holidays move the statutory date: england_and_wales, scotland or northern_ireland.",
    )
    guard_percent: Percent = Field(
        default=20,
        description="A retention run that deletes a larger share of all rows, and more than guard_count, stops.",
    )
    guard_count: Count = Field(
        default=100, description="A retention run that deletes more rows, and more than guard_percent, stops."
    )


class Setup(Section):
    """What privacy notices leave open, as `callrec setup` asks it; `callrec doctor` reminds of what is unanswered."""

    answered: tuple[Word, ...] = Field(default=(), description="Which of the questions G-1 to G-7 were answered.")
    notice_cites_current_law: Switch = Field(
        default=False, description="The privacy notice cites the UK GDPR and the Data Protection Act 2018 (G-1)."
    )
    other_calls_recorded: Switch = Field(
        default=False,
        description="Calls that the notice does not cover are to be recorded, and the notice says so (G-4).",
    )
    processors: tuple[Line, ...] = Field(
        default=(), description="Who else stores or handles recordings for you, as a person would be told (G-7)."
    )


class Api(Section):
    """The door for the callrec command and for programs."""

    socket: ResolvedPath = Field(default=Path("/run/callrec/api.sock"), description="UNIX socket of the API.")


class Settings(Section):
    """Everything an operator can set, and where each value came from."""

    org: Org = Field(default_factory=Org)
    node: Node = Field(default_factory=Node)
    paths: Paths = Field(default_factory=Paths)
    keys: Keys_ = Field(default_factory=Keys_)
    sip: Sip = Field(default_factory=Sip)
    rtp: Rtp = Field(default_factory=Rtp)
    attendant: Attendant = Field(default_factory=Attendant)
    calling_line: CallingLine = Field(default_factory=CallingLine)
    limits: Limits = Field(default_factory=Limits)
    peer: tuple[Peer, ...] = ()
    emergency: Emergency = Field(default_factory=Emergency)
    route: tuple[Route, ...] = ()
    capture_rule: tuple[CaptureRule, ...] = ()
    retention_class: tuple[RetentionClass, ...] = ()
    menu: tuple[Menu, ...] = ()
    mqtt: Mqtt | None = None
    privacy: Privacy = Field(default_factory=Privacy)
    setup: Setup = Field(default_factory=Setup)
    api: Api = Field(default_factory=Api)
    roles: dict[Line, Role] = Field(
        default={"root": Role.ADMIN},
        description="Group or user of this machine = role at the API socket.",
    )
    _origins: Origins = PrivateAttr(default_factory=Origins)

    @property
    def origins(self) -> Origins:
        """Where each value came from."""
        return self._origins

    @property
    def event_numbers(self) -> EventNumbers:
        """How events show telephone numbers, also where no broker is set."""
        return self.mqtt.numbers if self.mqtt else EventNumbers.HASH

    def find_peer(self, host: str, port: int | None = None) -> Peer | None:
        """Return the peer that speaks from an IP address: the longest match, the first of equals; no name is looked up.

        Raises:
            ValueError: if `host` is no IP address.
        """
        address = ip_address(host)
        ranked = [(max(a.precision(address, port) for a in peer.addresses), peer) for peer in self.peer]
        precision, best = max(ranked, key=lambda item: item[0], default=(-1, None))
        return best if precision >= 0 else None
