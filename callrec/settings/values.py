"""The values settings are made of: durations, sizes, ranges and addresses, each read from the text an operator writes.

Every reader raises ValueError with the words that follow "expected" in the message an operator gets.
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

_DURATION_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m(?!s))?(?:(\d{1,6})s)?(?:(\d{1,6})ms)?", re.ASCII)
_PERIOD = re.compile(r"(?:(\d{1,3})y)?(?:(\d{1,4})m)?(?:(\d{1,4})w)?(?:(\d{1,5})d)?", re.ASCII)
_NO_PERIOD = "0d"
_SIZE_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZE_UNITS |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_SIZE = re.compile(rf"(\d{{1,15}}) ?({'|'.join(_SIZE_UNITS)})", re.ASCII)
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_-]+)*\.?", re.ASCII)
_PORT = re.compile(r"\d{1,5}", re.ASCII)


def read_duration(text: str) -> timedelta:
    """Return the time that text such as `30m`, `8h`, `1h30m` or `250ms` names.

    Raises:
        ValueError: if it is no duration, or none at all.
    """
    found = _DURATION.fullmatch(text)
    if not found or not text or not any(int(number or 0) for number in found.groups()):
        raise ValueError("a duration above zero such as 60s, 30m, 8h or 1h30m")
    sizes = (86_400_000, 3_600_000, 60_000, 1_000, 1)
    return timedelta(
        milliseconds=sum(int(number or 0) * size for number, size in zip(found.groups(), sizes, strict=True))
    )


def write_duration(duration: timedelta) -> str:
    """Return a duration as an operator writes it."""
    left = round(duration.total_seconds() * 1_000)
    parts = []
    for unit in ("d", "h", "m", "s", "ms"):
        count, left = divmod(left, _DURATION_UNITS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


@dataclass(frozen=True, slots=True)
class CalendarPeriod:
    """How long something is kept, in the units of the calendar: two years are not 730 days (LAW-57)."""

    years: int = 0
    months: int = 0
    days: int = 0

    @classmethod
    def read(cls, text: str) -> CalendarPeriod:
        """Return the period that text such as `2y`, `6m`, `1y6m`, `4w` or `28d` names; `0d` is none at all.

        Raises:
            ValueError: if it is no period.
        """
        if text == _NO_PERIOD:
            return cls()
        found = _PERIOD.fullmatch(text)
        numbers = [int(number or 0) for number in found.groups()] if found else [0]
        if not any(numbers):
            raise ValueError("a period above zero such as 2y, 6m (months), 4w or 28d")
        years, months, weeks, days = numbers
        if years > 100 or months > 1_200 or weeks * 7 + days > 36_525:
            raise ValueError("a period of at most 100 years")
        return cls(years, months, weeks * 7 + days)

    def after(self, start: date) -> date:
        """Return the local date this period after `start`; a day the month lacks becomes its last (LAW-57)."""
        month_index = start.month - 1 + self.months
        year, month = start.year + self.years + month_index // 12, month_index % 12 + 1
        day = min(start.day, monthrange(year, month)[1])
        return date(year, month, day) + timedelta(days=self.days)

    def __str__(self) -> str:
        """Return the period as an operator writes it."""
        parts = ((self.years, "y"), (self.months, "m"), (self.days, "d"))
        return "".join(f"{number}{unit}" for number, unit in parts if number) or _NO_PERIOD


class ByteSize(int):
    """A number of bytes that prints as it was meant: `1GiB`."""

    @classmethod
    def read(cls, text: str) -> ByteSize:
        """Return the size that text such as `1GiB`, `500MB` or `0B` names.

        Raises:
            ValueError: if it is no size.
        """
        found = _SIZE.fullmatch(text)
        if not found:
            raise ValueError("a size such as 1GiB, 500MiB or 2TB")
        return cls(int(found[1]) * _SIZE_UNITS[found[2]])

    def __str__(self) -> str:
        """Return the size in the largest unit that divides it."""
        units = sorted(_SIZE_UNITS.items(), key=lambda item: item[1], reverse=True)
        name, unit = next(
            (name, unit) for name, unit in units if (int(self) % unit == 0 and int(self) >= unit) or unit == 1
        )
        return f"{int(self) // unit}{name}"


def read_port_range(text: str) -> range:
    """Return the ports that text such as `10000-29999` names, all of them; RTP takes the even ones, RTCP the odd.

    Raises:
        ValueError: if the range is no pair of ports at least, or does not begin with an even one.
    """
    first, dash, last = text.partition("-")
    if not dash or not _PORT.fullmatch(first.strip()) or not _PORT.fullmatch(last.strip()):
        raise ValueError("a range of ports such as 10000-29999")
    ports = range(int(first), int(last) + 1)
    if ports.start < 1024 or ports.stop > 65536:
        raise ValueError("ports between 1024 and 65535, such as 10000-29999")
    if len(ports) < 2:
        raise ValueError("a range whose last port lies above its first, such as 10000-29999")
    if ports.start % 2:
        raise ValueError(
            "a range that begins with an even port (RTP even, RTCP the odd one after it), such as 10000-29999"
        )
    return ports


def split_host_port(text: str) -> tuple[str, int | None]:
    """Return host and port of `host`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 address.

    Raises:
        ValueError: if the text is none of these.
    """
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or not _is_ip_address(host) or (rest and not rest.startswith(":")):
            raise ValueError("an address such as [2001:db8::1]:5060")
        return host, read_port(rest[1:]) if rest else None
    if _is_ip_address(text):
        return text, None
    host, colon, port = text.partition(":")
    if not _is_host(host):
        raise ValueError("a host or IP address, with or without a port")
    return host, read_port(port) if colon else None


def read_port(text: str) -> int:
    """Return a port between 1 and 65535.

    Raises:
        ValueError: if the text is none.
    """
    if not _PORT.fullmatch(text) or not 1 <= int(text) <= 65535:
        raise ValueError("a port between 1 and 65535")
    return int(text)


def _is_ip_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_host(text: str) -> bool:
    # 10.0.0.999 is a typing error, never a name: a name made of digits and dots alone does not exist.
    return bool(_HOST_NAME.fullmatch(text)) and (not re.fullmatch(r"[\d.]+", text) or _is_ip_address(text))


def read_host_name(text: str) -> str:
    """Return a host name or IP address as a certificate carries it, in lower case.

    Raises:
        ValueError: if it is none, or holds a wildcard: no wildcard stands for a SIP domain (RFC 5922 7.2).
    """
    if not _is_host(text) and not _is_ip_address(text):
        raise ValueError("a name that stands in the certificate, such as sip.example.net, without wildcard")
    return text.lower().rstrip(".")


def bracketed(host: str) -> str:
    """Return a host as it stands in a URI: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


class Transport(StrEnum):
    """What carries SIP."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


@dataclass(frozen=True, slots=True)
class Listen:
    """One place where SIP is heard."""

    transport: Transport
    host: str
    port: int

    @classmethod
    def read(cls, text: str) -> Listen:
        """Return the place that text such as `udp://127.0.0.1:5070` or `tcp://[::1]:5070` names.

        Raises:
            ValueError: if the text names none.
        """
        expected = (
            "udp://, tcp:// or tls:// with an IP address of this machine and a port, such as udp://127.0.0.1:5070"
        )
        scheme, separator, rest = text.partition("://")
        if not separator or scheme not in set(Transport):
            raise ValueError(expected)
        host, port = split_host_port(rest)
        if not _is_ip_address(host) or port is None:
            raise ValueError(expected)
        return cls(Transport(scheme), host, port)

    def __str__(self) -> str:
        """Return the place as an operator writes it."""
        return f"{self.transport}://{bracketed(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True)
class DnsServer:
    """A server that is asked for names."""

    host: str
    port: int

    @classmethod
    def read(cls, text: str) -> DnsServer:
        """Return the server that text such as `192.0.2.53`, `192.0.2.53:5353` or `[2001:db8::53]:53` names.

        Raises:
            ValueError: if the text names none.
        """
        host, port = split_host_port(text)
        if not _is_ip_address(host):
            raise ValueError("an IP address, with or without a port, such as 192.0.2.53")
        return cls(host, 53 if port is None else port)

    def __str__(self) -> str:
        """Return the server as an operator writes it."""
        return bracketed(self.host) if self.port == 53 else f"{bracketed(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """Where a peer speaks from: a network (one address is a network of one), or a name that has to be looked up."""

    network: IPv4Network | IPv6Network | None
    name: str | None
    port: int | None

    @classmethod
    def read(cls, text: str) -> PeerAddress:
        """Return the address that a host, host:port or CIDR names.

        Raises:
            ValueError: if the text is none of these.
        """
        if "/" in text:
            try:
                return cls(ip_network(text), None, None)
            except ValueError:
                raise ValueError("a network whose host bits are zero, such as 203.0.113.0/24") from None
        host, port = split_host_port(text)
        if _is_ip_address(host):
            return cls(ip_network(host), None, port)
        return cls(None, host, port)

    def precision(self, address: IPv4Address | IPv6Address, port: int | None) -> int:
        """Return how closely this names a source, -1 if it does not; a named port is closer than any network."""
        if self.network is None or (self.port is not None and self.port != port):
            return -1
        if address.version != self.network.version or address not in self.network:
            return -1
        return self.network.prefixlen + (0 if self.port is None else 1_000)

    def __str__(self) -> str:
        """Return the address as an operator writes it."""
        if self.network is None:
            host = self.name or ""
        elif self.network.prefixlen < self.network.max_prefixlen:
            return str(self.network)
        else:
            host = str(self.network.network_address)
        return host if self.port is None else f"{bracketed(host)}:{self.port}"


@dataclass(frozen=True, slots=True)
class BrokerUrl:
    """Where the MQTT broker is, and whether TLS protects the way there."""

    host: str
    port: int
    tls: bool

    @classmethod
    def read(cls, text: str) -> BrokerUrl:
        """Return the broker that `mqtt://host[:port]` or `mqtts://host[:port]` names.

        Raises:
            ValueError: if the text names none, or holds a user or password.
        """
        parts = urlsplit(text)
        if parts.scheme not in {"mqtt", "mqtts"} or parts.path not in {"", "/"} or parts.query or parts.fragment:
            raise ValueError("mqtt://host:port or mqtts://host:port, such as mqtt://127.0.0.1:1883")
        if "@" in parts.netloc:
            raise ValueError("a URL without user and password: they belong in mqtt.username and mqtt.password_file")
        host, port = split_host_port(parts.netloc)
        tls = parts.scheme == "mqtts"
        return cls(host, port or (8883 if tls else 1883), tls)

    def __str__(self) -> str:
        """Return the broker as an operator writes it."""
        return f"{'mqtts' if self.tls else 'mqtt'}://{bracketed(self.host)}:{self.port}"


_SIP_USER = r"(?:[A-Za-z0-9_.!~*'()&=+$,;?/%#-]+(?::[^@\s]*)?@)?"
_SIP_URI = re.compile(
    rf"sips?:{_SIP_USER}(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::(?P<port>\d+))?(?P<parameters>;[^\s?]+)?",
    re.IGNORECASE,
)


def read_sip_uri(text: str) -> str:
    """Return a destination that is a SIP URI in outline; signalling reads it in full (RFC 3261 19.1).

    Raises:
        ValueError: if it is none.
    """
    expected = "a SIP URI such as sip:127.0.0.2:5062, sip:200@pbx.example;transport=tcp or sips:pbx.example"
    found = _SIP_URI.fullmatch(text)
    if not found or not (_is_host(found["host"]) or _is_ip_address(found["host"].strip("[]"))):
        raise ValueError(expected)
    if found["port"] is not None:
        read_port(found["port"])
    return text


@dataclass(frozen=True, slots=True)
class SipPlace:
    """Where a SIP URI leads, as far as it says: host in lower case, port, transport."""

    host: str
    port: int | None
    transport: Transport | None

    @classmethod
    def of(cls, uri: str) -> SipPlace:
        """Return the place of a URI that `read_sip_uri` took; of an empty one, a place that is nobody's."""
        found = _SIP_URI.fullmatch(uri)
        if found is None:
            return cls("", None, None)
        parameters = dict(part.lower().partition("=")[::2] for part in (found["parameters"] or "").split(";"))
        named = Transport.TLS if uri[:5].lower() == "sips:" else _TRANSPORTS.get(parameters.get("transport", ""))
        host = parameters.get("maddr") or found["host"].lower()
        return cls(host.strip("[]"), int(found["port"]) if found["port"] else None, named)


_TRANSPORTS = {transport.value: transport for transport in Transport}
