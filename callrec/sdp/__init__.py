"""SDP without I/O: descriptions, the audio stream in them, offers and answers (RFC 8866, RFC 3264)."""

from callrec.sdp.audio import PLAIN_PROTOCOLS, AudioMedia, Codec, audio_of, choose_codec, codecs_of, telephone_event_for
from callrec.sdp.crypto import KEY_LENGTHS, SECURE_PROTOCOLS, Crypto, Protection, has_keys
from callrec.sdp.description import Direction, MediaDescription, Origin, SessionDescription, reverse_direction
from callrec.sdp.offer_answer import (
    AudioChange,
    answer_to,
    compare_audio,
    is_t38,
    is_unchanged,
    offer_of,
    protected,
)

__all__ = [
    "KEY_LENGTHS",
    "PLAIN_PROTOCOLS",
    "SECURE_PROTOCOLS",
    "AudioChange",
    "AudioMedia",
    "Codec",
    "Crypto",
    "Direction",
    "MediaDescription",
    "Origin",
    "Protection",
    "SessionDescription",
    "answer_to",
    "audio_of",
    "choose_codec",
    "codecs_of",
    "compare_audio",
    "has_keys",
    "is_t38",
    "is_unchanged",
    "offer_of",
    "protected",
    "reverse_direction",
    "telephone_event_for",
]
