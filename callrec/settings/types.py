"""The types of settings: text of one form, read into the value it names."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from ipaddress import ip_address
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, Strict

from callrec.settings.values import (
    BrokerUrl,
    ByteSize,
    CalendarPeriod,
    DnsServer,
    Listen,
    PeerAddress,
    read_duration,
    read_host_name,
    read_port_range,
    read_sip_uri,
    split_host_port,
)


def _read(reader: Callable[[str], Any], kind: type) -> BeforeValidator:
    """Return a validator that reads text and lets values through which are read already."""

    def validate(value: object) -> object:
        if isinstance(value, kind) and not isinstance(value, str):
            return value
        if not isinstance(value, str):
            raise ValueError(f"text: {_expectation(reader)}")  # noqa: TRY004 - pydantic collects ValueError only
        return reader(value)

    return BeforeValidator(validate)


def _expectation(reader: Callable[[str], Any]) -> str:
    """Return what a reader expects, by asking it for nothing."""
    try:
        reader("")
    except ValueError as error:
        return str(error)
    return "a string"


def _matching(pattern: str, expected: str) -> BeforeValidator:
    """Return a validator for text of one form."""
    compiled = re.compile(pattern, re.ASCII)

    def validate(value: object) -> object:
        if not isinstance(value, str) or not compiled.fullmatch(value):
            raise ValueError(expected)
        return value

    return BeforeValidator(validate)


def _read_timezone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ValueError, OSError, KeyError):
        raise ValueError("the name of a time zone such as Europe/London") from None
    return text


def _read_uris(value: object, *, optional: bool) -> tuple[str, ...]:
    """Return the destinations that one SIP URI or a list of them is, in their order."""
    expected = "one SIP URI such as sip:127.0.0.2:5062, or a list of them, tried in their order"
    if optional and value in ("", (), []):
        return ()
    found = [value] if isinstance(value, str) else list(value) if isinstance(value, list | tuple) else []
    if not found or not all(isinstance(uri, str) for uri in found):
        raise ValueError(expected)
    if len(set(found)) < len(found):
        raise ValueError(f"{expected}, each once")
    return tuple(read_sip_uri(uri) for uri in found)


def _read_some_uris(value: object) -> tuple[str, ...]:
    return _read_uris(value, optional=False)


def _read_any_uris(value: object) -> tuple[str, ...]:
    return _read_uris(value, optional=True)


def _read_any_uri(value: object) -> str:
    if isinstance(value, str):
        return read_sip_uri(value) if value else ""
    raise ValueError("one SIP URI such as sip:registrar.example, or nothing")


def _read_optional_broker(text: str) -> BrokerUrl | None:
    return BrokerUrl.read(text) if text else None


def _read_address_or_empty(text: str) -> str:
    if text:
        split_host_port(text)
    return text


def _read_ip_or_empty(text: str) -> str:
    try:
        return str(ip_address(text)) if text else ""
    except ValueError:
        raise ValueError("an IP address of this machine, or nothing for the address of the route to the peer") from None


Text = Annotated[str, Strict(), Field(title="text")]
Line = Annotated[str, _matching(r"[^\x00-\x1f\x7f]+", "text on one line, not empty"), Field(title="text")]
Word = Annotated[
    str, _matching(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", "a name of letters, digits, - _ and ."), Field(title="name")
]
WordOrEmpty = Annotated[
    str,
    _matching(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,63})?", "a name of letters, digits, - _ and ."),
    Field(title="name or nothing"),
]
Switch = Annotated[bool, Strict(), Field(title="true or false")]
SwitchOrDefault = Annotated[bool | None, Strict(), Field(title="true or false")]
Count = Annotated[int, Strict(), Field(ge=1), Field(title="whole number")]
Percent = Annotated[int, Strict(), Field(ge=0, le=100), Field(title="whole number, 0 to 100")]
Seconds = Annotated[int, Strict(), Field(ge=0), Field(title="seconds")]
Duration = Annotated[timedelta, _read(read_duration, timedelta), Field(title="duration")]
Size = Annotated[ByteSize, _read(ByteSize.read, ByteSize), Field(title="size")]
Period = Annotated[CalendarPeriod, _read(CalendarPeriod.read, CalendarPeriod), Field(title="period")]
Ports = Annotated[range, _read(read_port_range, range), Field(title="ports")]
Place = Annotated[Listen, _read(Listen.read, Listen), Field(title="listening place")]
Source = Annotated[PeerAddress, _read(PeerAddress.read, PeerAddress), Field(title="host, host:port or CIDR")]
NameServer = Annotated[DnsServer, _read(DnsServer.read, DnsServer), Field(title="IP address, with or without port")]
HostName = Annotated[str, _read(read_host_name, str), Field(title="host name")]
Broker = Annotated[BrokerUrl | None, _read(_read_optional_broker, BrokerUrl), Field(title="URL")]
Destinations = Annotated[tuple[str, ...], BeforeValidator(_read_some_uris), Field(title="SIP URI or a list of them")]
SipUriOrEmpty = Annotated[str, BeforeValidator(_read_any_uri), Field(title="SIP URI or nothing")]
DestinationsOrEmpty = Annotated[
    tuple[str, ...], BeforeValidator(_read_any_uris), Field(title="SIP URI, a list of them or nothing")
]
AddressOrEmpty = Annotated[str, _read(_read_address_or_empty, str), Field(title="address or nothing")]
IpOrEmpty = Annotated[str, _read(_read_ip_or_empty, str), Field(title="IP address or nothing")]
Key = Annotated[str, _matching(r"[0-9*#]", "one key of a telephone: 0 to 9, * or #"), Field(title="one key")]
KeyOrNothing = Annotated[
    str, _matching(r"[0-9*#]?", "one key of a telephone: 0 to 9, * or #, or nothing"), Field(title="one key or nothing")
]
Keys = Annotated[
    str, _matching(r"[0-9*#]{1,8}", "one to eight keys of a telephone: 0 to 9, * and #"), Field(title="keys")
]
Digits = Annotated[str, _matching(r"[0-9*#]{0,8}", "digits, or nothing"), Field(title="digits")]
NumberPattern = Annotated[
    str,
    _matching(r"\+?[0-9A-Za-z*?_.-]+", "a number in E.164 or national form, with * and ? where needed"),
    Field(title="number pattern"),
]
TimeZone = Annotated[str, _read(_read_timezone, str), Field(title="time zone")]
Country = Annotated[str, _matching("GB", "GB, the only numbering plan of this version"), Field(title="country")]
