"""RTCP as the far side sees it (RTP-8, RFC 3550 6), and what its reports are good for (NOT-13, NOT-14)."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from callrec.media import Confirmed, LegQuality, Play, Played, PlayKind
from callrec.rtp import Compound, Report, ReportBlock, compound_of, parse_compound
from callrec.rtp.rtcp import middle_of
from callrec.sip.events import Address
from tests.media.support import LIMIT_S, Hall, Party, bridge, open_party, remote_of

FIRST_REPORT_S = 3.1 + 1.0
"""RFC 3550 6.3.1, and the second in which each leg is looked at."""


class Telephone(Party):
    """A party with an RTCP port above its RTP port."""

    def __init__(self) -> None:
        super().__init__()
        self.rtcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        while not self._bind():
            self.socket.close()
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.socket.bind(("127.0.0.1", 0))
            self.socket.setblocking(False)
            self.address = Address(*self.socket.getsockname()[:2])
        self.rtcp.setblocking(False)

    def _bind(self) -> bool:
        with suppress(OSError, OverflowError):
            self.rtcp.bind(("127.0.0.1", self.address.port + 1))
            return True
        return False

    async def report(self, limit_s: float = LIMIT_S) -> tuple[Compound, bytes]:
        """Return the next RTCP datagram."""
        async with asyncio.timeout(limit_s):
            data = await asyncio.get_running_loop().sock_recv(self.rtcp, 4096)
        return parse_compound(data), data

    def tell(self, *blocks: ReportBlock) -> None:
        """Send a receiver report."""
        assert self.target is not None
        data = compound_of(Report(self.ssrc, None, blocks), "telephone")
        self.rtcp.sendto(data, (self.target.host, self.target.port + 1))

    def close(self) -> None:
        super().close()
        self.rtcp.close()


@contextmanager
def telephones(number: int) -> Iterator[list[Telephone]]:
    parties = [Telephone() for _ in range(number)]
    try:
        yield parties
    finally:
        for party in parties:
            party.close()


async def test_each_leg_is_reported_to_where_its_far_side_wants_it(hall: Hall) -> None:
    """The port above RTP's; the port of `a=rtcp`; RTP's own where both agreed on `rtcp-mux`."""
    with telephones(4) as (plain, elsewhere, muxed, desk):
        await open_party(hall, "call", "plain", plain)
        await open_party(hall, "call", "elsewhere", elsewhere, rtcp_port=desk.address.port + 1)
        await open_party(hall, "call", "muxed", muxed, rtcp_mux=True)
        said = [plain.speak() for _ in range(5)]
        plain.sequence += 5  # lost
        said.append(plain.speak())
        (report, data), (other, _) = await plain.report(), await desk.report()
        assert report.reports[0].sender is None, "nothing was sent to this party"
        block = report.reports[0].blocks[0]
        assert (block.ssrc, block.packets_lost) == (plain.ssrc, 5)
        assert block.highest_sequence & 0xFFFF == said[-1].sequence_number
        assert block.fraction_lost == int(5 / 11 * 256) / 256
        assert socket.gethostname().encode() not in data
        assert other.reports[0].blocks == ()
        async with asyncio.timeout(LIMIT_S):
            on_rtp_port = await asyncio.get_running_loop().sock_recv(muxed.socket, 4096)
        assert parse_compound(on_rtp_port).reports
        assert elsewhere.heard() == []


async def test_a_leg_that_spoke_says_bye_and_its_quality_is_told(hall: Hall) -> None:
    """RFC 3550 6.6; a short call has a jitter too, and loss of the other way where the far side told it."""
    with telephones(2) as (caller, callee):
        await open_party(hall, "call", "a", caller)
        await open_party(hall, "call", "b", callee)
        hall.service.link("a", "b")
        await hall.settled()
        callee.speak()
        ours = (await caller.hear()).ssrc
        for number in range(20):
            await asyncio.sleep(0.02 if number % 2 else 0.03)
            caller.speak()
        caller.tell(ReportBlock(ours, 0.25, 4, 1, 80))
        await hall.settled()
        hall.service.close_leg("a")
        bye, _ = await caller.report()
        assert bye.goodbyes == (ours,)
        assert bye.reports[0].sender is not None
        assert (bye.reports[0].sender.packets, bye.reports[0].sender.octets) == (1, 160)
        quality = await hall.event(LegQuality, lambda event: event.leg == "a")
        assert quality.jitter_us is not None
        assert 1_000 < quality.jitter_us < 20_000
        assert (quality.far_lost, quality.far_loss_max, quality.far_jitter_us) == (4, 0.25, 10_000)
        assert quality.round_trip_us is None


async def test_the_round_trip_is_measured_by_report_and_answer(hall: Hall) -> None:
    """RFC 3550 6.4.1: the far side names our report and how long it waited with its answer."""
    with telephones(2) as (caller, callee):
        await open_party(hall, "call", "a", caller)
        await open_party(hall, "call", "b", callee)
        hall.service.link("a", "b")
        await hall.settled()
        callee.speak()
        await caller.hear()
        report, _ = await caller.report()
        ours = report.reports[0]
        assert ours.sender is not None
        came = time.monotonic()
        await asyncio.sleep(0.1)
        kept = int((time.monotonic() - came - 0.05) * 65536)
        caller.tell(ReportBlock(ours.ssrc, 0.0, 0, 1, 0, middle_of(ours.sender.ntp), kept))
        await hall.settled()
        hall.service.close_leg("a")
        quality = await hall.event(LegQuality, lambda event: event.leg == "a" and event.round_trip_us is not None)
        assert quality.round_trip_us is not None
        assert 50_000 <= quality.round_trip_us < 500_000


@pytest.mark.parametrize("late", [False, True])
async def test_a_report_confirms_a_notice(hall: Hall, late: bool) -> None:
    """NOT-13, grade A: the highest sequence number reached proves the last packet, also after the notice's end."""
    with telephones(1) as (caller,):
        await open_party(hall, "call", "a", caller)
        hall.service.play("a", Play("p", PlayKind.NOTICE, {"PCMA": bytes(1600)}))
        packets = [await caller.hear() for _ in range(10)]
        heard = ReportBlock(packets[0].ssrc, 0.0, 0, packets[-1].sequence_number, 0)
        if not late:
            caller.tell(heard)
        played = await hall.event(Played)
        assert played.completed
        assert played.confirmed is not late
        if late:
            caller.tell(ReportBlock(packets[0].ssrc, 0.0, 0, packets[-2].sequence_number, 0))
            caller.tell(heard)
            confirmed = await hall.event(Confirmed)
            assert (confirmed.play_id, confirmed.highest_sequence) == ("p", packets[-1].sequence_number)
            assert confirmed.loss == 0.0
        else:
            assert played.rtcp_highest_sequence == packets[-1].sequence_number


async def test_a_strangers_report_counts_nothing(hall: Hall) -> None:
    """A report from a host that is no source of this leg's media is dropped, whatever it says."""
    with telephones(1) as (caller,), closing(Party("127.0.0.9")) as stranger:
        await open_party(hall, "call", "a", caller)
        hall.service.play("a", Play("p", PlayKind.NOTICE, {"PCMA": bytes(4000)}))
        ours = (await caller.hear()).ssrc
        assert caller.target is not None
        lie = compound_of(Report(1, None, (ReportBlock(ours, 0.9, 9, 9, 9),)), "x")
        stranger.socket.sendto(lie, (caller.target.host, caller.target.port + 1))
        played = await hall.event(Played)
        assert (played.completed, played.rtcp_loss_fraction) == (True, None)
        assert stranger.heard() == []


async def test_a_refused_report_costs_nothing(hall: Hall) -> None:
    """A far side without RTCP answers with ICMP: audio goes on, the notice counts, the loop does not spin."""
    call = await bridge(hall)
    await call.latch()
    await asyncio.sleep(FIRST_REPORT_S)
    before = cpu_s(hall.worker_pid)
    await asyncio.sleep(1.0)
    assert cpu_s(hall.worker_pid) - before < 0.3
    await call.say(call.caller)
    hall.service.play(call.a, Play("p", PlayKind.NOTICE, {"PCMA": bytes(1600)}))
    assert (await hall.event(Played, limit_s=LIMIT_S)).completed
    call.close()


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def test_behind_nat_reports_go_where_reports_come_from(hall: Hall) -> None:
    """RFC 4961: the port above a translated port may be anybody's, so nothing is sent there unasked."""
    with telephones(1) as (caller,):
        caller.target = await hall.service.open_leg("call", "a", "127.0.0.1")
        hall.service.set_remote("a", remote_of(caller, address=Address("127.0.0.8", 40000), nat=True))
        caller.speak()
        await hall.settled()
        with pytest.raises(TimeoutError):
            await caller.report(FIRST_REPORT_S)
        caller.tell()
        report, _ = await caller.report()
        assert report.reports[0].blocks[0].ssrc == caller.ssrc
