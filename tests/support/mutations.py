"""SIP messages spoilt in the ways that wires, old stacks and attackers spoil them; the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

Spoiler = Callable[[bytes, random.Random], bytes]
MAX_DATAGRAM = 60_000


def _flip(data: bytes, dice: random.Random) -> bytes:
    spoilt = bytearray(data)
    for _ in range(dice.randint(1, 12)):
        spoilt[dice.randrange(len(spoilt))] = dice.randrange(256)
    return bytes(spoilt)


def _cut(data: bytes, dice: random.Random) -> bytes:
    return data[: dice.randrange(len(data)) + 1]


def _leave_out(data: bytes, dice: random.Random) -> bytes:
    start = dice.randrange(len(data))
    return data[:start] + data[start + dice.randint(1, 80) :]


def _repeat_lines(data: bytes, dice: random.Random) -> bytes:
    lines = data.split(b"\r\n")
    at = dice.randrange(len(lines))
    return b"\r\n".join([*lines[:at], *[lines[at]] * dice.choice([2, 5, 300]), *lines[at:]])


def _drop_line(data: bytes, dice: random.Random) -> bytes:
    lines = data.split(b"\r\n")
    del lines[dice.randrange(len(lines))]
    return b"\r\n".join(lines)


def _swap_lines(data: bytes, dice: random.Random) -> bytes:
    lines = data.split(b"\r\n")
    dice.shuffle(lines)
    return b"\r\n".join(lines)


def _lie_about_length(data: bytes, dice: random.Random) -> bytes:
    length = dice.choice([b"-1", b"0", b"1", b"99999", b"4294967296", b"9" * 400, b"0x10", b"1 1", b""])
    head, _, body = data.partition(b"\r\n\r\n")
    kept = [line for line in head.split(b"\r\n") if not line.lower().startswith((b"content-length", b"l:"))]
    return b"\r\n".join([*kept, b"Content-Length: " + length]) + b"\r\n\r\n" + body


def _bomb(data: bytes, dice: random.Random) -> bytes:
    first, _, rest = data.partition(b"\r\n")
    name = dice.choice([b"Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKx", b"X-Bomb: a", b"Route: <sip:a;lr>", b"v: ,,,,"])
    return b"\r\n".join([first, *[name] * dice.choice([200, 2000]), rest])


def _swell(data: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(data))
    piece = dice.choice([b"A", b"\x00", b"%", b'"', b"(", b";a=b", b",", b"\xff", b"<sip:"])
    return data[:at] + piece * dice.choice([100, 5000]) + data[at:]


def _change_number(data: bytes, dice: random.Random) -> bytes:
    digits = [at for at, byte in enumerate(data) if 48 <= byte <= 57]
    if not digits:
        return data + b"\r\n"
    at = dice.choice(digits)
    return data[:at] + dice.choice([b"-", b"99999999999", b"\xd9\xa1", b" ", b""]) + data[at + 1 :]


SPOILERS: Sequence[Spoiler] = (
    _flip, _cut, _leave_out, _repeat_lines, _drop_line, _swap_lines, _lie_about_length, _bomb, _swell, _change_number,
)  # fmt: skip


def mutated(originals: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """Return so many spoilt messages, each of one to three faults, none larger than a datagram can be."""
    dice = random.Random(seed)
    for _ in range(count):
        message = dice.choice(originals)
        for spoil in dice.choices(SPOILERS, k=dice.choice([1, 1, 2, 3])):
            message = spoil(message or b"\r\n", dice)
        yield message[:MAX_DATAGRAM]
