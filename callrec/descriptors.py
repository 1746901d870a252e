"""How many files and sockets this process may have open, and how many of them are kept for what must not starve.

The kernel gives out the lowest free number, so the number of a socket that was just opened says how many are in use.
Calls leave `MEDIA_RESERVE` to signalling, stores and the API; connections that others open leave `CONNECTION_RESERVE`.
"""

from __future__ import annotations

import errno
import resource
from contextlib import suppress

MEDIA_RESERVE = 128
"""Left by the media of new calls: for connections, the stores, helper processes and legs of calls that are live."""
CONNECTION_RESERVE = 32
"""Left by connections that others open: for the stores, and for connections that we open."""
_SHARE = 4


_SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def is_shortage(error: OSError) -> bool:
    """Return whether a descriptor could not be had because there are too many; it ends by itself."""
    return error.errno in _SHORTAGES


def limit() -> int:
    """Return how many descriptors this process may have open, in the kernel's word RLIMIT_NOFILE."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def raise_limit() -> None:
    """Allow as many descriptors as the system does: a call takes four."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def leaves(descriptor: int, reserve: int) -> bool:
    """Return whether a descriptor that was just opened leaves the reserve; of a low limit a quarter at most is kept."""
    most = limit()
    return descriptor < most - min(reserve, most // _SHARE)
