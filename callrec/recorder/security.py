"""What is agreed about SRTP on one leg: never in clear where it must not be, never our key in clear (RTP-9, RFC 4568).

| `srtp` of the peer | offered to it | taken from it |
| --- | --- | --- |
| `off` | RTP/AVP | RTP/AVP, RTP/AVPF |
| `optional` | RTP/AVP with keys: who has no SRTP takes it as plain | either, with keys where it names some |
| `required` | RTP/SAVP | only what names a key, in either profile |

Once a leg is encrypted it stays so: a later offer or answer without keys is refused. Keys go over TLS signalling only.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from callrec.errors import PeerError
from callrec.identifiers import RandomBytes
from callrec.media import MediaKeys
from callrec.sdp import (
    KEY_LENGTHS,
    PLAIN_PROTOCOLS,
    SECURE_PROTOCOLS,
    AudioMedia,
    Crypto,
    Protection,
    SessionDescription,
    audio_of,
    has_keys,
    protected,
)
from callrec.settings import Peer, Srtp
from callrec.sip.events import Flow


class SecurityError(PeerError):
    """Media would go in clear, or a key would: the call is refused (488), never passed in silence."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status=488)


@dataclass(slots=True)
class Security:
    """The rule for a leg, and the keys we send with, one for each suite."""

    policy: Srtp = Srtp.OFF
    signalled_secretly: bool = False
    """Signalling goes over TLS."""
    random: RandomBytes = field(default=secrets.token_bytes, repr=False)
    secured: bool = False
    """Keys were agreed on."""
    violated: bool = False
    """What the party said last broke the rule."""
    renewing: bool = False
    """A new key of ours is on its way to the party."""
    suite: str = ""
    """By which the media was last said to be encrypted."""
    profile: str = "RTP/SAVP"
    _keys: dict[str, bytes] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, peer: Peer | None, flow: Flow, random: RandomBytes, *, emergency: bool = False) -> Security:
        """Return the rule for a leg to or from a peer; an emergency call is never refused for it (FAIL-1).

        Raises:
            SecurityError: where SRTP is required and the signalling is not secret.
        """
        policy = Srtp.OFF if peer is None else peer.srtp
        secret = flow.transport == "tls"
        if policy is Srtp.REQUIRED and emergency:
            policy = Srtp.OPTIONAL
        if not secret and policy is Srtp.REQUIRED:
            assert peer is not None, "internal error: a rule without a peer"
            raise SecurityError(
                f"peer {peer.name} has srtp = required and speaks {flow.transport}: keys go over TLS only; "
                "let it call over TLS, and set transport = tls"
            )
        return cls(policy if secret else Srtp.OFF, secret, random)

    def audio_of(self, description: SessionDescription) -> AudioMedia:
        """Return the audio stream that the rule lets us take: one with keys before one in clear.

        Raises:
            SecurityError: where there is none.
            PeerError: as `callrec.sdp.audio_of`.
        """
        self.violated = False
        if self.policy is Srtp.OFF:
            return audio_of(description)
        try:
            audio = audio_of(description, PLAIN_PROTOCOLS | SECURE_PROTOCOLS, keyed=True)
        except PeerError as error:
            if error.status != 488:
                raise
            if self.policy is Srtp.OPTIONAL and not self.secured and _is_plain(description):
                return audio_of(description)
            self.violated = True
            raise SecurityError(f"media must be encrypted on this leg: {error}") from None
        self.profile = audio.protocol
        return audio

    def in_offer(self, description: SessionDescription) -> SessionDescription:
        """Return our description as an offer to this party: with keys where the rule says so."""
        plain = _plain_profile(description)
        if self.policy is Srtp.OFF:
            return protected(description, Protection(plain))
        keys = tuple(Crypto(tag, suite, self._key(suite)) for tag, suite in enumerate(KEY_LENGTHS, 1))
        if self.secured:
            return protected(description, Protection(self.profile, keys))
        secure = "RTP/SAVPF" if plain.endswith("F") else "RTP/SAVP"
        return protected(description, Protection(secure if self.policy is Srtp.REQUIRED else plain, keys))

    def in_answer(self, description: SessionDescription, offer: AudioMedia) -> SessionDescription:
        """Return our description as the answer to this party's offer: with one key where it named some."""
        if self.policy is Srtp.OFF:
            return protected(description, Protection(_plain_profile(description)))
        self.renewing = False  # the answer tells our new key
        taken = offer.crypto[:1]
        keys = tuple(Crypto(each.tag, each.suite, self._key(each.suite)) for each in taken)
        return protected(description, Protection(offer.protocol, keys))

    def media_keys(self, audio: AudioMedia) -> MediaKeys | None:
        """Return the keys of both directions, None for media in clear."""
        if self.policy is Srtp.OFF or not audio.crypto:
            return None
        self.secured = True
        theirs = audio.crypto[0]
        return MediaKeys(theirs.suite, theirs.key, None if self.renewing else self._key(theirs.suite))

    def renew(self) -> None:
        """Forget our keys: the next offer or answer tells the party new ones."""
        self._keys.clear()
        self.renewing = True

    def _key(self, suite: str) -> bytes:
        if suite not in self._keys:
            self._keys[suite] = self.random(KEY_LENGTHS[suite])
        return self._keys[suite]


def check_untouched(body: bytes, sender: Security, receiver: Security) -> None:
    """Check a description that passes from one party to the other untouched, for want of ports of ours.

    Raises:
        SecurityError: where it would carry a key out of TLS, or a party would get media in clear that must not.
    """
    keyed = has_keys(body)
    if keyed and sender.signalled_secretly and not receiver.signalled_secretly:
        raise SecurityError("a key of SRTP that came over TLS would go on in clear; call the destination over TLS")
    if not keyed and receiver.policy is Srtp.REQUIRED:
        raise SecurityError("media must be encrypted towards this peer, and there is no port to do it with")


def _is_plain(description: SessionDescription) -> bool:
    """Whether some stream is offered in clear; one whose profile is secure is never answered in clear."""
    return any(each.kind == "audio" and each.protocol.upper() in PLAIN_PROTOCOLS for each in description.media)


def _plain_profile(description: SessionDescription) -> str:
    protocol = next((each.protocol for each in description.media if each.kind == "audio" and each.port != 0), "RTP/AVP")
    return protocol.upper().replace("SAVP", "AVP")
