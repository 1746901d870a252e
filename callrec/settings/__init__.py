"""What an operator can set: `load` reads it from files and environment and says at once what does not fit."""

from callrec.settings.choices import (
    CalledNumberSource,
    CaptureDirection,
    EventNumbers,
    FullDisk,
    LawfulBasis,
    NumberFormat,
    PeerRole,
    Region,
    RetentionStart,
    Role,
    Srtp,
    WithheldNumberPolicy,
)
from callrec.settings.destinations import destinations
from callrec.settings.explain import Explained, as_toml, explain
from callrec.settings.load import build, load
from callrec.settings.model import CaptureRule, Menu, Mqtt, RetentionClass, Settings
from callrec.settings.origin import EnvironmentOrigin, FileOrigin, NamedOrigin, Origin, Origins
from callrec.settings.signalling import Peer, Route
from callrec.settings.values import BrokerUrl, ByteSize, CalendarPeriod, Listen, PeerAddress, Transport

__all__ = [
    "BrokerUrl",
    "ByteSize",
    "CalendarPeriod",
    "CalledNumberSource",
    "CaptureDirection",
    "CaptureRule",
    "EnvironmentOrigin",
    "EventNumbers",
    "Explained",
    "FileOrigin",
    "FullDisk",
    "LawfulBasis",
    "Listen",
    "Menu",
    "Mqtt",
    "NamedOrigin",
    "NumberFormat",
    "Origin",
    "Origins",
    "Peer",
    "PeerAddress",
    "PeerRole",
    "Region",
    "RetentionClass",
    "RetentionStart",
    "Role",
    "Route",
    "Settings",
    "Srtp",
    "Transport",
    "WithheldNumberPolicy",
    "as_toml",
    "build",
    "destinations",
    "explain",
    "load",
]
