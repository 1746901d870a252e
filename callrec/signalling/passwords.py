"""The names and passwords we answer challenges of peers with, read once so that no call waits for a disk."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from callrec.sip.digest_answer import Credentials

if TYPE_CHECKING:
    from pathlib import Path

    from callrec.settings import Peer

log = logging.getLogger("callrec.signalling")


def read_passwords(peers: Iterable[Peer]) -> dict[str, Credentials]:
    """Return the credentials by name of peer.

    A file that cannot be read is logged, and its peer left out: calls that need no password go on.
    """
    found: dict[str, Credentials] = {}
    for peer in peers:
        if not peer.username or peer.password_file is None:
            continue
        try:
            password = _first_line(peer.password_file)
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "bytes that are no UTF-8"
            log.warning(
                "peer %s: password_file %s: found %s, expected a file with our password; its challenges stay "
                "unanswered until it can be read and the configuration is reloaded",
                peer.name, peer.password_file, reason,
            )  # fmt: skip
            continue
        found[peer.name] = Credentials(peer.username, password)
    return found


def _first_line(path: Path) -> str:
    return path.read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
