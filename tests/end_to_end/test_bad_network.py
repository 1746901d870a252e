"""Calls over a line that loses 5 %, delays by 100 ± 80 ms and lets a quarter overtake: issue 4, how it is judged."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tests.support.house import Conversation, House, Side
from tests.support.listening import Samples, decoded
from tests.support.lossy import Network

TALK_S = 4.0
FRAME = 160
EDGE = 10
"""Packets that the network holds at most."""


@pytest.fixture
def network() -> Iterator[Network]:
    network = Network()
    yield network
    network.close()


def packets_in(channel: Samples, side: Side, lost: set[bytes]) -> tuple[int, int]:
    """Check that a channel holds each packet that arrived, in its place, and silence for each that did not.

    Return how many packets it holds and how many it lacks.
    """
    frames = [side.coded[start : start + FRAME] for _, start in side.voice.sent]
    sounds = [decoded(side.payload_type, frame) for frame in frames]
    first = next(
        index for index, frame in enumerate(frames) if frame not in lost and _place(channel, sounds[index]) >= 0
    )
    shift = _place(channel, sounds[first]) - first * FRAME
    held = lacking = 0
    for index in range(first, len(frames)):
        at = shift + index * FRAME
        if at + FRAME > len(channel):
            break
        found = channel[at : at + FRAME]
        if frames[index] in lost:
            assert not found.any(), f"packet {index} was lost, and something is in its place"
            lacking += 1
        elif not found.any() and not first + EDGE <= index < len(frames) - EDGE:
            continue  # it was overtaken by the beginning of the recording, or still under way at its end
        else:
            assert np.array_equal(found, sounds[index]), f"packet {index} of {len(frames)} is not in its place"
            held += 1
    return held, lacking


def _place(channel: Samples, sound: Samples) -> int:
    at = channel.tobytes().find(sound.tobytes())
    return -1 if at < 0 or at % 2 else at // 2


def connect(house: House, network: Network, number: int) -> Conversation:
    talk = house.dial(f"+44770090012{number}")
    for side in (talk.outside, talk.inside):
        network.spoil_voice(side.voice)
    return talk


@pytest.mark.parametrize("calls", [2, pytest.param(9, marks=pytest.mark.long)])
def test_every_call_is_set_up_and_exactly_the_lost_packets_are_missing(network: Network, calls: int) -> None:
    """SIP and RTP of both parties over the bad line: each recording has what arrived where it was said, and no more."""
    with House() as house:
        for line in (house.trunk, house.pbx):
            network.spoil_line(line)
        talks = [connect(house, network, number) for number in range(calls)]
        for talk in talks:
            house.connect_dialled(talk)
        talks[-1].talk(TALK_S)
        for talk in talks:
            talk.hang_up()
        items = house.items_of(talks, timeout=40)
        assert [item["outcome"] for item in items] == ["recorded"] * calls
        exported = house.recorder.export_all([item["call_id"] for item in items])
    assert network.overtaken > network.sent / 5, "a quarter of all packets should have been overtaken"
    lost = {datagram[12:] for datagram in network.lost}
    for talk, item in zip(talks, items, strict=True):
        _, left, right = exported[item["call_id"]]
        for side, channel, leg in zip((talk.outside, talk.inside), (left, right), item["legs"], strict=True):
            held, lacking = packets_in(np.array(channel, np.int16), side, lost)
            assert held > TALK_S * 45
            assert lacking > 0
            assert leg["quality"]["received"]["jitter_ms"] > 20, leg
            assert 1 <= leg["quality"]["received"]["loss_percent"] <= 12, leg
            assert leg["quality"]["received"]["mos"] < 4.2, leg
