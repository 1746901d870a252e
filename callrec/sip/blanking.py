"""What of a SIP message is kept nowhere: credentials, keys, and bodies in which digits or words may stand.

Everything blanked is replaced by as many `x`, so that lengths stay true.
"""

from __future__ import annotations

import re

_CREDENTIALS = re.compile(
    rb"^((?:proxy-)?authorization[ \t]*:[ \t]*\w+[ \t]+)((?:[^\r\n]|\r?\n[ \t])+)", re.IGNORECASE | re.MULTILINE
)
"""RFC 3261 20.7, 20.28, folded values as well (7.3.1)."""
_KEYS = re.compile(rb"^(a=crypto:[^\r\n]*?inline:|k=|a=key-mgmt:|a=ice-pwd:)([^\r\n]+)", re.IGNORECASE | re.MULTILINE)
"""RFC 4568 9.1, RFC 8866 (k= of RFC 4566), RFC 4567, RFC 8839."""
_TYPE = re.compile(rb"^(?:content-type|c)[ \t]*:[ \t]*([^\r\n;]+)", re.IGNORECASE | re.MULTILINE)
_KEPT_BODIES = frozenset({b"application/sdp", b"message/sipfrag"})
"""Anything else may hold digits (INFO), words (MESSAGE) or pictures."""


def blanked(message: bytes) -> bytes:
    """Return a message as it may be kept (LAW-74, RTP-9, SIP-11)."""
    head, gap, body = message.partition(b"\r\n\r\n")
    if b"authorization" in head.lower():  # most messages have none, and the pattern costs ten times as much
        head = _CREDENTIALS.sub(_crossed_out, head)
    if not body:
        return head + gap
    kind = _TYPE.search(head)
    if kind is None or kind[1].strip().lower() not in _KEPT_BODIES:
        return head + gap + b"x" * len(body)
    return head + gap + _KEYS.sub(_crossed_out, body)


def _crossed_out(found: re.Match[bytes]) -> bytes:
    return found[1] + re.sub(rb"[^\r\n \t]", b"x", found[2])
