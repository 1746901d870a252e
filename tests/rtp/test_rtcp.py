"""RTCP packets and reports (RTP-8, RFC 3550 6), jitter (A.8), round trip (6.4.1) and the E-model (G.107)."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callrec.errors import PeerError
from callrec.rtp import (
    Compound,
    Jitter,
    Reception,
    Report,
    ReportBlock,
    Reporting,
    SenderInfo,
    Sent,
    compound_of,
    estimate_mos,
    parse_compound,
)
from callrec.rtp.quality import mean_opinion_score, rating
from callrec.rtp.reporting import interval_ns
from callrec.rtp.rtcp import middle_of, ntp_of

WORD = st.integers(0, 0xFFFFFFFF)
blocks = st.builds(
    ReportBlock,
    ssrc=WORD,
    fraction_lost=st.integers(0, 255).map(lambda number: number / 256),
    packets_lost=st.integers(-0x800000, 0x7FFFFF),
    highest_sequence=WORD,
    jitter=WORD,
    last_report=WORD,
    delay=WORD,
)
senders = st.builds(SenderInfo, ntp=st.integers(0, 2**64 - 1), timestamp=WORD, packets=WORD, octets=WORD)
reports = st.builds(Report, ssrc=WORD, sender=st.none() | senders, blocks=st.lists(blocks, max_size=31).map(tuple))
SECOND = 1_000_000_000


@given(reports, st.text("abcXYZ019+/", min_size=1, max_size=40), st.booleans())
def test_what_is_written_reads_the_same(report: Report, cname: str, goodbye: bool) -> None:
    """RFC 3550 6.1: a report comes first and a CNAME with it; whole words; BYE where the source leaves."""
    data = compound_of(report, cname, goodbye=goodbye)
    assert len(data) % 4 == 0
    assert cname.encode() in data
    assert parse_compound(data) == Compound((report,), (report.ssrc,) if goodbye else ())


def test_a_receiver_report_behind_a_sender_report_is_read() -> None:
    """A compound packet of SR and RR as telephones send it, byte by byte."""
    sender = bytes.fromhex("80c80006") + bytes(24)
    receiver = bytes.fromhex("81c90007 0000000a 00000063 40fffffe 00011234 000000a0 00000000 00000000")
    compound = parse_compound(sender + receiver)
    assert [report.ssrc for report in compound.reports] == [0, 10]
    assert compound.reports[1].blocks == (ReportBlock(0x63, 0.25, -2, 0x11234, 160),)


@given(st.binary(max_size=200))
def test_whatever_arrives(data: bytes) -> None:
    """A compound or PeerError, never anything else."""
    try:
        compound = parse_compound(data)
    except PeerError:
        return
    assert all(0 <= block.fraction_lost < 1 for report in compound.reports for block in report.blocks)


@given(reports, st.data())
def test_a_cut_compound_is_refused_or_shorter(report: Report, data: st.DataObject) -> None:
    """RFC 3550 A.2: lengths that overrun the datagram are no report."""
    whole = compound_of(report, "c", goodbye=True)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    try:
        compound = parse_compound(cut)
    except PeerError:
        return
    assert compound.goodbyes == ()
    assert compound.reports in ((), (report,))


def test_reports_are_spread_over_half_to_one_and_a_half_intervals() -> None:
    """RFC 3550 6.3.1: 5 s, at random between 2.05 and 6.16 s, the first after half of that."""
    assert interval_ns(0.0) == pytest.approx(2.052 * SECOND, rel=1e-3)
    assert interval_ns(1.0) == pytest.approx(6.156 * SECOND, rel=1e-3)
    assert interval_ns(1.0, first=True) == pytest.approx(3.078 * SECOND, rel=1e-3)


def reporting(now_ns: int = 0) -> Reporting:
    return Reporting(0xA, "name", now_ns=now_ns, unix_ns=1_700_000_000 * SECOND, random=0.5)


def heard_by(packets: list[int], ssrc: int = 7) -> Reception:
    reception = Reception()
    for number in packets:
        reception.arrived(number & 0xFFFF, ssrc)
    return reception


def test_a_sender_report_where_we_sent_and_a_receiver_report_where_we_did_not() -> None:
    """RFC 3550 6.4: SR with what was sent, RR from then on until something is sent again."""
    session = reporting()
    sent = Sent(100, 16_000, 5_000)
    first = parse_compound(session.report(sent, heard_by([1, 2, 4]), 12.7, SECOND)).reports[0]
    assert first.sender == SenderInfo(ntp_of(1_700_000_001 * SECOND), 5_000, 100, 16_000)
    assert first.blocks == (ReportBlock(7, int(256 / 4) / 256, 1, 4, 12),)
    second = parse_compound(session.report(sent, heard_by([1, 2, 4, 5]), 0, 2 * SECOND)).reports[0]
    assert second.sender is None
    assert second.blocks[0].fraction_lost == 0.0
    assert second.blocks[0].packets_lost == 1


def test_nothing_is_said_of_a_source_never_heard() -> None:
    """An empty receiver report still carries the CNAME."""
    report = parse_compound(reporting().report(Sent(0, 0, 0), Reception(), 0, SECOND)).reports[0]
    assert report == Report(0xA)


def test_the_highest_sequence_counts_its_wraps() -> None:
    """RFC 3550 A.1: cycles in the upper 16 bits, followed by looks that are seconds apart."""
    reception = Reception()
    for number in range(65_000, 65_000 + 100_000):
        reception.arrived(number & 0xFFFF, 7)
        if number % 500 == 0:
            reception.wrapped()
    assert reception.highest_sequence == 65_000 + 100_000 - 1
    assert reception.lost == 0


def test_a_new_source_is_counted_from_its_first_packet() -> None:
    """RTP-2: a new SSRC is a new source; the leg's own counters go on over it."""
    reception = heard_by([10, 11, 13])
    reception.arrived(14, 8)  # the very next number
    reception.arrived(20, 8)  # a new source is noticed at the first number that is not the next
    reception.arrived(21, 8)
    assert (reception.received, reception.lost) == (6, 1)
    assert reception.of_source == (2, 0)
    assert reception.highest_sequence == 21


def test_the_round_trip_is_what_the_far_side_did_not_keep_us_waiting() -> None:
    """RFC 3550 6.4.1: now minus the time of our report minus the delay at the far side; only of reports of ours."""
    session = reporting()
    data = session.report(Sent(1, 160, 0), Reception(), 0, SECOND)
    ours = parse_compound(data).reports[0].sender
    assert ours is not None
    block = ReportBlock(0xA, 0.5, 3, 77, 40, middle_of(ours.ntp), 2 << 16)
    assert session.take(Compound((Report(9, None, (block,)),)), SECOND + 2 * SECOND + 80_000_000)
    assert session.round_trip_ns == pytest.approx(80_000_000, abs=40_000)
    assert session.heard is not None
    assert session.heard.covers(77)
    assert not session.heard.covers(78)
    forged = ReportBlock(0xA, 0.0, 0, 77, 0, 0x1234, 0)
    session.take(Compound((Report(9, None, (forged,)),)), 4 * SECOND)
    assert session.round_trip_ns == pytest.approx(80_000_000, abs=40_000)
    assert session.worst_loss == 0.5


def test_their_sender_report_is_answered_with_how_long_ago_it_came() -> None:
    """RFC 3550 6.4.1: LSR and DLSR let the far side measure the round trip."""
    session = reporting()
    session.take(Compound((Report(7, SenderInfo(0x1111_2222_3333_4444, 0, 0, 0)),)), SECOND)
    block = parse_compound(session.report(Sent(0, 0, 0), heard_by([1]), 0, SECOND * 5 // 2)).reports[0].blocks[0]
    assert (block.last_report, block.delay) == (0x2222_3333, 3 << 15)


def test_a_report_about_somebody_else_is_none() -> None:
    """A block of another SSRC tells nothing of ours."""
    session = reporting()
    assert not session.take(Compound((Report(9, None, (ReportBlock(0xB, 1.0, 9, 9, 9),)),)), SECOND)
    assert session.heard is None


def test_a_bye_is_remembered_until_something_else_is_said() -> None:
    """RFC 3550 6.6."""
    session = reporting()
    session.take(Compound((Report(9),), (9,)), SECOND)
    assert session.far_left
    session.take(Compound((Report(9),)), 2 * SECOND)
    assert not session.far_left


def test_even_packets_have_no_jitter_and_uneven_ones_the_mean_of_their_difference() -> None:
    """RFC 3550 A.8: J approaches the mean difference of the transit times; a pause and a jump are none."""
    even, uneven = Jitter(), Jitter()
    for number in range(500):
        even.take(number * 20_000_000, number * 160, 8000)
        uneven.take(number * 20_000_000 + number % 2 * 5_000_000, number * 160, 8000)
    assert even.ticks == 0
    assert uneven.ticks == pytest.approx(40, rel=0.01)
    even.take(600 * 20_000_000, 600 * 160, 8000)  # DTX: 2 s of nothing, and its time goes on
    even.take(601 * 20_000_000, 0x90000000, 8000)  # a jump: re-anchored
    assert even.ticks == 0
    even.begin()
    even.take(0, 0, 8000)
    assert even.ticks == 0


@given(st.integers(0, 0xFFFFFFFF), st.integers(0, 2**40))
def test_jitter_does_not_depend_on_where_the_counters_begin(timestamp: int, now: int) -> None:
    """Timestamps wrap unheard."""
    jitter = Jitter()
    for number, late in zip(range(60), itertools.cycle((0, 3_000_000, 1_000_000)), strict=False):
        jitter.take(now + number * 20_000_000 + late, (timestamp + number * 160) & 0xFFFFFFFF, 8000)
    assert 12 < jitter.ticks < 17


def test_known_points_of_the_e_model() -> None:
    """G.107: the default rating is MOS 4.41; G.711 with concealment at 1 %, 5 %; G.729A; a satellite's delay."""
    assert mean_opinion_score(93.2) == pytest.approx(4.41, abs=0.005)
    assert mean_opinion_score(50) == pytest.approx(2.58, abs=0.005)
    assert mean_opinion_score(-1) == 1.0
    assert mean_opinion_score(100) == 4.5
    assert rating("PCMA", 0.01, 0) == pytest.approx(93.2 - 95 / 26.1)
    assert rating("PCMU", 0.05, 0) == pytest.approx(93.2 - 95 * 5 / 30.1)
    assert rating("G729", 0.0, 0) == pytest.approx(82.2)
    assert rating("PCMA", 0.0, 277.3) == pytest.approx(93.2 - 0.024 * 277.3 - 11)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 500), st.none() | st.floats(0, 2000))
def test_more_loss_never_sounds_better(one: float, other: float, jitter: float, trip: float | None) -> None:
    """MOS stays within 1 to 4.5 and falls with loss."""
    less, more = sorted((one, other))
    better = estimate_mos("PCMA", less, jitter_ms=jitter, round_trip_ms=trip, packet_ms=20)
    worse = estimate_mos("PCMA", more, jitter_ms=jitter, round_trip_ms=trip, packet_ms=20)
    assert 1 <= worse <= better <= 4.5
