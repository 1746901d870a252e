"""Which UDP ports calls may use: random, bound before they are offered, and rested after use (RTP-11)."""

from __future__ import annotations

import errno
import random
import socket
import sys
from collections import deque
from dataclasses import dataclass

from callrec.descriptors import MEDIA_RESERVE, is_shortage, leaves
from callrec.media.errors import CapacityError, ShortageError
from callrec.sip.events import Address

QUARANTINE_S = 60.0
"""How long a port rests after use, so that late packets of its last call reach nobody."""
SHORTEST_QUARANTINE_S = 5.0
"""Under need a port rests at least this long."""
_ATTEMPTS = 64
_NO_PORT = "found no free RTP port; widen [rtp] ports or lower [sip] max_calls"
_RAISE_LIMIT = "; raise LimitNOFILE (ulimit -n) or lower [sip] max_calls"
_ADVICE = {
    errno.EMFILE: _RAISE_LIMIT,
    errno.ENFILE: "; raise fs.file-max or lower [sip] max_calls",
    errno.EADDRNOTAVAIL: "; this machine does not have that address, change [rtp] bind",
}

# asm-generic/socket.h, linux/in.h, linux/in6.h: names that Python's socket module does not have.
SO_TIMESTAMPNS = 35
_IP_RECVERR = 11
_IPV6_RECVERR = 25
_IPV6_V6ONLY = 26


class PortPool:
    """The even ports of a range; a pair is the even one and the odd one after it."""

    def __init__(self, ports: range, choose: random.Random | None = None) -> None:
        self._random = choose if choose is not None else random.SystemRandom()
        self._free = [port for port in ports if port % 2 == 0 and port + 1 in ports]
        self._resting: deque[tuple[float, int]] = deque()

    def __len__(self) -> int:
        return len(self._free) + len(self._resting)

    def take(self, now: float) -> int:
        """Return a port nobody has used for 60 s, else the one that has rested longest.

        Raises:
            ShortageError: if every port is in use or was until less than 5 s ago.
        """
        while self._resting and now - self._resting[0][0] >= QUARANTINE_S:
            self._free.append(self._resting.popleft()[1])
        if self._free:
            index = self._random.randrange(len(self._free))
            self._free[index], self._free[-1] = self._free[-1], self._free[index]
            return self._free.pop()
        if self._resting and now - self._resting[0][0] >= SHORTEST_QUARANTINE_S:
            return self._resting.popleft()[1]
        raise ShortageError(_NO_PORT)

    def require(self, pairs: int, now: float) -> None:
        """See that so many ports could be taken.

        Raises:
            ShortageError: if they could not.
        """
        resting = pairs - len(self._free)
        if resting <= 0:
            return
        if len(self._resting) < resting or now - self._resting[resting - 1][0] < SHORTEST_QUARANTINE_S:
            raise ShortageError(_NO_PORT)

    def give_back(self, port: int, now: float) -> None:
        """Let a port rest."""
        self._resting.append((now, port))

    def put_back(self, port: int) -> None:
        """Take back a port that nobody was told of: it need not rest."""
        self._free.append(port)


@dataclass(frozen=True, slots=True)
class BoundPair:
    """An RTP socket and its RTCP socket on the odd port above."""

    rtp: socket.socket
    rtcp: socket.socket
    address: Address
    """Of the RTP socket."""

    def close(self) -> None:
        """Close both."""
        self.rtp.close()
        self.rtcp.close()


def bind_pair(pool: PortPool, host: str, now: float) -> BoundPair:
    """Bind a pair of ports of the pool on one of our addresses.

    Raises:
        ShortageError: if ports or descriptors run short.
        CapacityError: if that address cannot be had.
    """
    for _ in range(_ATTEMPTS):
        port = pool.take(now)
        try:
            return _bind(host, port)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                pool.give_back(port, now)
                continue
            pool.put_back(port)
            kind = ShortageError if is_shortage(error) else CapacityError
            advice = _ADVICE.get(error.errno or 0, "")
            raise kind(f"RTP socket on {host} port {port}: {error.strerror}{advice}") from error
    raise ShortageError(f"found {_ATTEMPTS} RTP ports on {host} in use by other programs; change [rtp] ports")


def bind_first_pair(pool: PortPool, host: str, now: float, pairs: int = 2) -> BoundPair:
    """Bind the first pair of a new call, if it leaves the reserve of descriptors and the call's other pairs fit too.

    Raises:
        ShortageError, CapacityError: as `bind_pair`; nothing is kept then.
    """
    pool.require(pairs, now)
    first = bind_pair(pool, host, now)
    others = 2 * (pairs - 1)
    if not leaves(first.rtcp.fileno() + others, MEDIA_RESERVE):
        first.close()
        pool.put_back(first.address.port)
        raise ShortageError(f"found too few descriptors left for another call{_RAISE_LIMIT}")
    return first


def try_room(pool: PortPool, host: str, now: float, pairs: int = 2) -> None:
    """See whether the ports of one more call could be had on an address of ours; none is kept.

    Raises:
        ShortageError, CapacityError: if they could not.
    """
    bound: list[BoundPair] = []
    try:
        bound.append(bind_first_pair(pool, host, now, pairs))
        bound.extend(bind_pair(pool, host, now) for _ in range(pairs - 1))
    finally:
        for pair in bound:
            pair.close()
            pool.put_back(pair.address.port)


def _bind(host: str, port: int) -> BoundPair:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened: list[socket.socket] = []
    try:
        for number in (port, port + 1):
            opened.append(_open(family))
            opened[-1].bind((host, number))
    except OSError:
        for each in opened:
            each.close()
        raise
    return BoundPair(opened[0], opened[1], Address(host, port))


def _open(family: socket.AddressFamily) -> socket.socket:
    """Return a UDP socket that tells of refused packets and of when each arrived."""
    opened = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    if sys.platform == "linux":
        # The arrival times matter to a worker that takes a call over: what waited was not late (design, section 2).
        opened.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_V6ONLY, 1)
            opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
        else:
            opened.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
    return opened
