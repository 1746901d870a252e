"""What this machine knows of names by itself: /etc/hosts, and the DNS servers of /etc/resolv.conf.

Both files are small and local; they are read again when they change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import dns.exception
import dns.resolver

from callrec.sip.dialog import is_literal

Content = TypeVar("Content")

_LOOK_AGAIN_S = 5.0
DNS_PORT = 53


@dataclass(slots=True)
class _File(Generic[Content]):
    """The content of a file, read when it is new."""

    path: Path
    read: Callable[[Path], Content]
    content: Content
    changed_at: int = -1
    looked_at: float = float("-inf")

    def at(self, now: float) -> Content:
        if now - self.looked_at >= _LOOK_AGAIN_S:
            self.looked_at = now
            try:
                changed_at = self.path.stat().st_mtime_ns
                if changed_at != self.changed_at:
                    self.content, self.changed_at = self.read(self.path), changed_at
            except (OSError, ValueError, dns.exception.DNSException):
                pass  # what was known counts on: calls fail open
        return self.content


def read_hosts(path: Path) -> Mapping[str, tuple[str, ...]]:
    """Return the names of a hosts file, in lower case, with their addresses."""
    found: dict[str, tuple[str, ...]] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        if is_literal(address):
            for name in names:
                key = name.lower().rstrip(".")
                found[key] = (*found.get(key, ()), address)
    return found


def _read_servers(path: Path) -> tuple[tuple[str, int], ...]:
    client = dns.resolver.Resolver(filename=str(path), configure=True)
    return tuple((server, DNS_PORT) for server in client.nameservers if isinstance(server, str))


@dataclass(slots=True)
class SystemNames:
    """The two files, as they are now."""

    now: Callable[[], float]
    hosts_path: Path = Path("/etc/hosts")
    resolver_path: Path = Path("/etc/resolv.conf")
    _hosts: _File[Mapping[str, tuple[str, ...]]] = field(init=False)
    _servers: _File[tuple[tuple[str, int], ...]] = field(init=False)

    def __post_init__(self) -> None:
        self._hosts = _File(self.hosts_path, read_hosts, {})
        self._servers = _File(self.resolver_path, _read_servers, ())

    def addresses(self, name: str) -> tuple[str, ...]:
        """Return the addresses that /etc/hosts has for a name: they come before what DNS says."""
        return self._hosts.at(self.now()).get(name.lower().rstrip("."), ())

    def servers(self) -> Sequence[tuple[str, int]]:
        """Return the DNS servers of the system, in their order."""
        return self._servers.at(self.now())
