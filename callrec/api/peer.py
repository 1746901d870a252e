"""Who is at the other end of the UNIX socket: read from the kernel at accept, before a byte of the request counts."""

from __future__ import annotations

import errno
import grp
import pwd
import socket
import struct
from dataclasses import dataclass

SO_PEERGROUPS = 59
"""asm-generic/socket.h: the supplementary groups of the peer; Python has no name for it."""

_CREDENTIALS = struct.Struct("iII")
"""struct ucred of socket(7): pid, uid, gid."""

_GROUPS_AT_FIRST = 128
_GROUPS_AT_MOST = 65_536
"""NGROUPS_MAX of Linux."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The process that connected, as the kernel knew it at that moment."""

    pid: int
    uid: int
    gid: int
    groups: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Identity:
    """The peer with the names of its OS user and groups."""

    user: str
    uid: int
    groups: frozenset[str]


def peer_of(connection: socket.socket) -> Peer:
    """Return the process at the other end of a connected UNIX socket.

    Raises:
        OSError: if the socket is no connected UNIX socket.
    """
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(raw)
    return Peer(pid, uid, gid, _groups_of(connection))


def _groups_of(connection: socket.socket) -> tuple[int, ...]:
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, 4 * _GROUPS_AT_FIRST)
    except OSError as error:
        if error.errno != errno.ERANGE:
            raise
        raw = connection.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, 4 * _GROUPS_AT_MOST)
    return struct.unpack(f"{len(raw) // 4}I", raw)


def identify(peer: Peer) -> Identity:
    """Return the names of a peer; a user or group the system does not know is shown by its number.

    It asks the name service, which may be a directory on the network: call it in a thread.
    """
    groups = frozenset(_group_name(gid) for gid in (peer.gid, *peer.groups))
    return Identity(_user_name(peer.uid), peer.uid, groups)


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
