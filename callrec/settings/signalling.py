"""What can be set of SIP: where it is heard, who may speak it, and where calls go."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from callrec.settings.choices import CalledNumberSource, NumberFormat, PeerRole, Srtp
from callrec.settings.paths import OptionalFile
from callrec.settings.section import Section
from callrec.settings.types import (
    AddressOrEmpty,
    Count,
    Destinations,
    DestinationsOrEmpty,
    Digits,
    Duration,
    HostName,
    NameServer,
    NumberPattern,
    Place,
    Seconds,
    SipUriOrEmpty,
    Source,
    Switch,
    SwitchOrDefault,
    Text,
    Word,
    WordOrEmpty,
)
from callrec.settings.values import Listen, Transport


class Sip(Section):
    """Signalling."""

    listen: tuple[Place, ...] = Field(
        default=(Listen.read("udp://127.0.0.1:5070"), Listen.read("tcp://127.0.0.1:5070")),
        min_length=1,
        description="Where SIP is heard: udp://, tcp:// and tls:// with an IP address and a port.",
    )
    advertise: AddressOrEmpty = Field(
        default="", description="Address written in Via and Contact; empty means that of the route to the peer."
    )
    dns_servers: tuple[NameServer, ...] = Field(
        default=(),
        description="DNS servers asked for the names of peers, destinations and registrars, the first that answers; "
        "empty means those of /etc/resolv.conf.",
    )
    tls_certificate_file: OptionalFile = Field(
        default=None, description="Certificate of this recorder and those above it, PEM; needed for tls://."
    )
    tls_key_file: OptionalFile = Field(default=None, description="Private key of that certificate, PEM.")
    tls_ca_file: OptionalFile = Field(
        default=None,
        description="Authorities that sign the certificates of peers, PEM; empty means those of the system.",
    )
    max_calls: Count = Field(default=500, description="Calls at once; beyond it calls get 503, emergency calls never.")
    session_expires: Duration = Field(
        default=timedelta(minutes=30),
        description="After what time a call counts as dead that neither side has refreshed (RFC 4028).",
    )
    min_session_expires: Duration = Field(
        default=timedelta(seconds=90),
        description="The least that a peer may ask for in place of it, at least 90 s; less gets 422.",
    )
    drain_seconds: Seconds = Field(
        default=3600, description="How long live calls may run on after SIGTERM, in seconds."
    )


class Peer(Section):
    """A machine that may send us calls; the longest match of its addresses wins."""

    name: Word = Field(description="Name used by route.from and in reports.")
    addresses: tuple[Source, ...] = Field(min_length=1, description="Where it speaks from: host, host:port or CIDR.")
    role: PeerRole = Field(description="trunk (the outside world) or pbx (our side).")
    trusted_identity: Switch = Field(
        default=False, description="Believe its P-Asserted-Identity, Remote-Party-ID and Diversion (CLI-1)."
    )
    transport: Transport = Field(
        default=Transport.UDP,
        description="How it is called where a URI names no transport: udp, tcp or tls; "
        "with tls it is never called in clear, and believed over TLS only (CLI-1).",
    )
    nat: Switch = Field(default=False, description="Send media to where its media comes from (it sits behind NAT).")
    media_addresses: tuple[Source, ...] = Field(default=(), description="Further addresses its media may come from.")
    number_format: NumberFormat = Field(
        default=NumberFormat.AUTO, description="auto, or nsn if it writes UK numbers without the leading 0 (CLI-5)."
    )
    keypad_words: Switch = Field(
        default=False, description="It turns the word ANONYMOUS and the like into keypad digits (CLI-11)."
    )
    outside_prefix: Digits = Field(default="", description="Digits dialled first for an outside line.")
    called_number_source: CalledNumberSource = Field(
        default=CalledNumberSource.REQUEST_URI,
        description="Where the called number stands: request_uri, to or p_called_party_id.",
    )
    allow_refer: SwitchOrDefault = Field(
        default=None, description="It may transfer calls, by REFER or Replaces; absent: role pbx may, role trunk not."
    )
    options_seconds: Seconds = Field(
        default=0,
        description="Ask it by OPTIONS after so many seconds of silence whether it is there; "
        "0 asks it only while calls to it fail.",
    )
    tls_names: tuple[HostName, ...] = Field(
        default=(),
        description="Names its certificate must carry over TLS, one of them; "
        "whoever shows one is this peer, from whatever address.",
    )
    srtp: Srtp = Field(
        default=Srtp.OFF,
        description="Encrypted media (SDES) with it: off, optional or required; only over TLS, needs the extra [srtp].",
    )
    username: Text = Field(default="", description="Our user name, where it challenges us (digest); empty means none.")
    password_file: OptionalFile = Field(default=None, description="File of our password there, on its first line.")
    register_at: SipUriOrEmpty = Field(
        default="",
        alias="register",
        description="SIP URI of a registrar that sends calls to who registers; its user part is username if absent.",
    )
    challenge: Switch = Field(
        default=False, description="Its calls have to show username and password (401); emergency calls never."
    )

    @property
    def may_transfer(self) -> bool:
        """Whether its REFER and Replaces are carried out: those of our side, unless it is set otherwise."""
        return self.role is PeerRole.PBX if self.allow_refer is None else self.allow_refer


class Emergency(Section):
    """999 and 112."""

    destination: DestinationsOrEmpty = Field(
        default=(),
        description="SIP URI for emergency calls, or a list tried in its order; empty means the route's own.",
    )


class Route(Section):
    """Where a call goes; the first that matches wins."""

    from_: WordOrEmpty = Field(default="", alias="from", description="Name of the peer it comes from; empty means any.")
    called: NumberPattern = Field(default="*", description="Called number in E.164 or national form, with * and ?.")
    rule: WordOrEmpty = Field(
        default="", description="Name of the capture rule; empty means transparent, not recorded."
    )
    destination: Destinations = Field(
        description="SIP URI to call, or a list tried in its order; the user part defaults to the called number."
    )
    answer_timeout: Duration = Field(default=timedelta(seconds=60), description="How long each destination may ring.")
    next_on_busy: Switch = Field(
        default=False, description="Try the next destination of a list also when one is busy or declines."
    )
