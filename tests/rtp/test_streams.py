"""Counting what came, and numbers that run on in what goes."""

from __future__ import annotations

import random

from callrec.rtp import OutgoingStream, Reception


def count(numbers: list[int]) -> tuple[int, int]:
    reception = Reception()
    for number in numbers:
        reception.arrived(number)
    return reception.received, reception.lost


def test_losses_wraps_and_reordering() -> None:
    """What is missing counts, what comes late is found again, and the wrap is no loss."""
    assert count([65534, 65535, 0, 1]) == (4, 0)
    assert count([1, 2, 5, 6]) == (4, 2)
    assert count([1, 3, 2, 4]) == (4, 0)
    assert count([10, 40_000, 40_001]) == (3, 0)


def test_any_order_within_reach_loses_nothing() -> None:
    """A stream shuffled in windows of ten is complete."""
    rng = random.Random(3550)
    numbers: list[int] = []
    for start in range(0, 5000, 10):
        window = list(range(start, start + 10))
        if start:
            rng.shuffle(window)
        numbers += [number & 0xFFFF for number in window]
    assert count(numbers) == (5000, 0)


def test_our_frames_and_a_relayed_source_are_one_stream() -> None:
    """After a prompt the other leg's packets go on at the next sequence number and the time that has passed."""
    stream = OutgoingStream(7, 100, 5000)
    first = stream.next_numbers(160, 1_000_000_000)
    second = stream.next_numbers(160, 1_020_000_000)
    assert first == (100, 5000, True)
    assert second == (101, 5160, False)
    assert stream.follow(40_000, 900, 55, 1_120_000_000)
    assert (40_000 + stream.sequence_offset) & 0xFFFF == 102
    assert (900 + stream.timestamp_offset) & 0xFFFFFFFF == 5160 + 800
    assert not stream.follow(40_001, 900 + (1 << 31), 55, 1_140_000_000)


def test_a_random_start() -> None:
    """SSRC and numbers come from the random bytes that are handed in."""
    stream = OutgoingStream.random(lambda size: bytes(range(size)))
    assert (stream.ssrc, stream.last_sequence, stream.last_timestamp) == (0x00010203, 0x0404, 0x06070809)
