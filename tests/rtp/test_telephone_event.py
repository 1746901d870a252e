"""RFC 4733: a key press is told once, at once, whatever is lost or repeated."""

from __future__ import annotations

from callrec.rtp import DIGITS, DigitReceiver


def packets(event: int, timestamp: int, *, steps: int = 3, ends: int = 3) -> list[tuple[bytes, int]]:
    durations = [160 * (index + 1) for index in range(steps)]
    plain = [(bytes([event, 10]) + duration.to_bytes(2, "big"), timestamp) for duration in durations]
    end = bytes([event, 0x8A]) + durations[-1].to_bytes(2, "big")
    return plain + [(end, timestamp)] * ends


def press(receiver: DigitReceiver, sent: list[tuple[bytes, int]], ssrc: int = 1) -> list[str]:
    told = [receiver.receive(payload, timestamp, ssrc) for payload, timestamp in sent]
    return [digit for digit in told if digit is not None]


def test_a_press_counts_once_and_at_once() -> None:
    """NOT-17: three end packets are one press, told at its first packet."""
    receiver = DigitReceiver()
    sent = packets(9, 1000)
    assert receiver.receive(*sent[0], 1) == "9"
    assert press(receiver, sent[1:]) == []


def test_all_sixteen_keys() -> None:
    """Events 0 to 15 are keys; flash and tones (16 and beyond) are none."""
    receiver = DigitReceiver()
    told = [press(receiver, packets(event, 100_000 * (event + 1))) for event in range(20)]
    assert told == [[digit] for digit in DIGITS] + [[]] * 4


def test_a_lost_end_is_told_by_the_next_timestamp() -> None:
    """Two presses of one key are two, though no end packet arrived."""
    receiver = DigitReceiver()
    assert press(receiver, packets(5, 0, ends=0) + packets(5, 4000, ends=0)) == ["5", "5"]


def test_only_end_packets_arrive() -> None:
    """A press of which only the end got through counts."""
    assert press(DigitReceiver(), packets(5, 0)[3:]) == ["5"]


def test_a_late_packet_of_an_earlier_press_is_none() -> None:
    """Reordering by the network makes no third press."""
    receiver = DigitReceiver()
    first, second = packets(1, 0), packets(2, 4000)
    assert press(receiver, [*first[:4], *second[:2], first[4], *second[2:], first[5]]) == ["1", "2"]


def test_a_key_held_for_longer_than_a_segment_is_one_press() -> None:
    """RFC 4733 2.5.1.3: after 65,535 units a new segment with a later timestamp goes on with the same press."""
    receiver = DigitReceiver()
    long = [(bytes([7, 10]) + duration.to_bytes(2, "big"), 5000) for duration in (160, 30_000, 0xFFFF)]
    after = packets(7, 5000 + 0xFFFF)
    assert press(receiver, long + after) == ["7"]


def test_a_new_source_starts_anew() -> None:
    """A new SSRC with an earlier timestamp is a new press."""
    receiver = DigitReceiver()
    assert press(receiver, packets(3, 50_000)) + press(receiver, packets(3, 10), ssrc=2) == ["3", "3"]


def test_timestamps_wrap_and_jump() -> None:
    """Presses around the wrap and after a jump of 2**31 count."""
    receiver = DigitReceiver()
    stamps = (0xFFFFFF00, 0x00000F00, 0x80000F00)
    assert [press(receiver, packets(4, stamp)) for stamp in stamps] == [["4"], ["4"], ["4"]]


def test_short_payloads_are_none() -> None:
    """0 to 3 bytes say nothing."""
    assert all(DigitReceiver().receive(bytes(length), 0, 1) is None for length in range(4))
