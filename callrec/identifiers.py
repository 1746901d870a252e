"""Random identifiers: they say nothing about whom they name (LAW-43)."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from uuid import UUID, uuid5

RandomBytes = Callable[[int], bytes]
"""A source of random bytes: `secrets.token_bytes`, or a fixed one in a test."""

# Crockford's base 32 without the letters that sound alike on the telephone in a noisy room.
REFERENCE_ALPHABET = "23456789ABCDEFGHJKMNPQRTVWXY"
REFERENCE_LENGTH = 7

_RECORDINGS = UUID("1f0f1d5c-6f0b-4d0e-9a55-5f1f6a4f6f5e")
"""The name space of recording ids (RFC 9562 5.5): a fixed random number."""


def new_id(random: RandomBytes = secrets.token_bytes) -> str:
    """Return a random UUID (version 4) as text: for calls, recordings, keys, legs and events."""
    return str(UUID(bytes=random(16), version=4))


def recording_id_of(call_id: str) -> str:
    """Return the id of a call's recording: a UUID (version 5) that follows from the call's random id.

    So a recording whose beginning could not be written down before a crash still finds its call.
    """
    return str(uuid5(_RECORDINGS, call_id))


def new_call_reference(random: RandomBytes = secrets.token_bytes) -> str:
    """Return seven characters that a person can read out to find a call again (CLI-14)."""
    number = int.from_bytes(random(8), "big")
    characters = []
    for _ in range(REFERENCE_LENGTH):
        number, index = divmod(number, len(REFERENCE_ALPHABET))
        characters.append(REFERENCE_ALPHABET[index])
    return "".join(characters)
