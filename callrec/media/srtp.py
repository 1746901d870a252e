"""SRTP of a leg in a worker: the only room that knows pylibsrtp (RFC 3711, RFC 7714).

The library keeps the rollover counter and what was heard already, for each key; a key that stays keeps them. It is the
optional extra `[srtp]`, so it is imported with the first key only.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

WINDOW = 1024
"""Packets that may come late and in any order before they count as replayed: 20 s at 20 ms."""

_RTCP_FROM, _RTCP_TO = 192, 223
_PROFILES = {
    "AES_CM_128_HMAC_SHA1_80": "SRTP_PROFILE_AES128_CM_SHA1_80",
    "AES_CM_128_HMAC_SHA1_32": "SRTP_PROFILE_AES128_CM_SHA1_32",
    "AEAD_AES_128_GCM": "SRTP_PROFILE_AEAD_AES_128_GCM",
    "AEAD_AES_256_GCM": "SRTP_PROFILE_AEAD_AES_256_GCM",
}


@dataclass(frozen=True, slots=True)
class MediaKeys:
    """How a leg's media is protected; each key is a master key and its salt.

    `send` is None while the far end does not know a key of ours: then nothing is sent at all.
    """

    suite: str
    """By its name in RFC 4568 or RFC 7714."""
    receive: bytes = field(repr=False)
    send: bytes | None = field(repr=False)

    def to_wire(self) -> dict[str, str]:
        """Return the keys as a message holds them."""
        send = "" if self.send is None else base64.b64encode(self.send).decode("ascii")
        return {"suite": self.suite, "receive": base64.b64encode(self.receive).decode("ascii"), "send": send}

    @classmethod
    def from_wire(cls, wire: dict[str, str] | None) -> MediaKeys | None:
        """Return the keys that a message holds."""
        if wire is None:
            return None
        send = base64.b64decode(wire["send"])
        return cls(wire["suite"], base64.b64decode(wire["receive"]), send or None)


class Srtp:
    """Both directions of one leg."""

    __slots__ = ("_errors", "_keys", "_receiving", "_sending")

    def __init__(self, keys: MediaKeys) -> None:
        """Begin with these keys, each from its beginning."""
        import pylibsrtp  # noqa: PLC0415 - an extra: needed with the first key only

        self._errors = (pylibsrtp.Error, ValueError)
        self._keys = keys
        self._receiving = _session(keys.suite, keys.receive, "SSRC_ANY_INBOUND")
        self._sending = None if keys.send is None else _session(keys.suite, keys.send, "SSRC_ANY_OUTBOUND")

    def change(self, keys: MediaKeys) -> None:
        """Take new keys; a direction whose key stays goes on where it was: no key is ever begun a second time."""
        before, self._keys = self._keys, keys
        if (before.suite, before.receive) != (keys.suite, keys.receive):
            self._receiving = _session(keys.suite, keys.receive, "SSRC_ANY_INBOUND")
        if (before.suite, before.send) != (keys.suite, keys.send):
            self._sending = None if keys.send is None else _session(keys.suite, keys.send, "SSRC_ANY_OUTBOUND")

    @property
    def sends(self) -> bool:
        """Whether there is a key to send with."""
        return self._sending is not None

    def open(self, datagram: bytes) -> bytes | None:
        """Return the RTP or RTCP in a datagram; None where it is forged, replayed, or by another key."""
        try:
            if _is_rtcp(datagram):
                return self._receiving.unprotect_rtcp(datagram)  # type: ignore[no-any-return]
            return self._receiving.unprotect(datagram)  # type: ignore[no-any-return]
        except self._errors:
            return None

    def seal(self, datagram: bytes) -> bytes | None:
        """Return RTP or RTCP as it goes on the wire; None where its number was used, or it is too long."""
        if self._sending is None:
            return None
        try:
            if _is_rtcp(datagram):
                return self._sending.protect_rtcp(datagram)  # type: ignore[no-any-return]
            return self._sending.protect(datagram)  # type: ignore[no-any-return]
        except self._errors:
            return None


def _session(suite: str, key: bytes, direction: str) -> Any:
    import pylibsrtp  # noqa: PLC0415 - as above

    kind = pylibsrtp.Policy
    policy = kind(key=key, ssrc_type=getattr(kind, direction), srtp_profile=getattr(kind, _PROFILES[suite]))
    policy.window_size = WINDOW
    return pylibsrtp.Session(policy=policy)


def _is_rtcp(datagram: bytes) -> bool:
    """Tell RTCP from RTP by its second byte (RFC 5761 4)."""
    return len(datagram) > 1 and _RTCP_FROM <= datagram[1] <= _RTCP_TO
