"""Each trunk with each PBX, both in their own words (tests/vectors/peers), announced and transparent."""

from __future__ import annotations

import pytest

from tests.support.hall_house import TABLES, HallHouse
from tests.support.recorded_house import HERE, finish
from tests.support.recorded_peer import RecordedPeer, address_of, manifest, stacks
from tests.support.virtual_time import virtual

CALLS = {entry["file"].removesuffix(".sip"): entry["call"] for entry in manifest()["messages"] if "call" in entry}
PBXS = [stack for stack in stacks("ringing", "answer") if manifest()["stacks"][stack]["side"] != "trunk"]


def both(trunk: str, pbx: str, rule: str) -> tuple[HallHouse, RecordedPeer, RecordedPeer]:
    """Return a house between two stacks; without a rule nothing is announced."""
    peers = [
        {
            **TABLES["peer"][0],
            "addresses": ["192.0.2.0/24"],
            "number_format": "nsn" if trunk == "uk-nsn" else "auto",
        },
        {**TABLES["peer"][1], "addresses": ["198.51.100.0/24"]},
    ]
    route = {"from": "trunk", "called": "*", "destination": f"sip:201@{address_of(pbx, inside=True).host}"}
    house = HallHouse(peer=peers, route=[{**route, "rule": rule} if rule else route])
    return house, RecordedPeer(house.wire, trunk, HERE), RecordedPeer(house.wire, pbx, HERE, inside=True)


@pytest.mark.parametrize("rule", ["inbound", ""], ids=["announced", "transparent"])
@pytest.mark.parametrize("name", CALLS)
@virtual
async def test_each_trunk_reaches_each_pbx_and_the_pbx_hangs_up(name: str, rule: str) -> None:
    """NOT-2, SIP-5, SIP-6: ringing, early media, answer and BYE, with reliable 18x where both sides take them."""
    trunk, _, file = name.partition("/")
    for pbx in PBXS:
        house, outside, inside = both(trunk, pbx, rule)
        outside.call(file)
        ack = CALLS[name].get("ack", "")
        if rule:
            await outside.answered(ack)
        await inside.called()
        inside.respond("ringing")
        await house.settle(1.0)
        if inside.may_respond("progress"):
            inside.respond("progress")
            await house.settle(1.0)
        inside.respond("answer")
        if not rule:
            await outside.answered(ack)
        await inside.next("ACK")
        await house.settle(3.0)
        inside.ask("bye-back" if pbx in stacks("bye-back") else "bye")
        await outside.next("BYE")
        await finish(house, "complete" if rule else "no_capture_rule")
