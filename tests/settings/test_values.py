"""The values settings are made of: read, print back, refuse."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callrec.settings.values import (
    BrokerUrl,
    ByteSize,
    CalendarPeriod,
    Listen,
    PeerAddress,
    read_duration,
    read_port_range,
    read_sip_uri,
    write_duration,
)


@pytest.mark.parametrize(
    ("text", "seconds"), [("60s", 60), ("30m", 1800), ("8h", 28800), ("1h30m", 5400), ("2d", 172800), ("250ms", 0.25)]
)
def test_a_duration_is_read_and_printed_back(text: str, seconds: float) -> None:
    """What an operator wrote means what it says."""
    assert read_duration(text) == timedelta(seconds=seconds)
    assert read_duration(write_duration(timedelta(seconds=seconds))) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "0s", "-1s", "1.5h", "30m1h", "1H", "٣s", "1 h", "forever"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """Neither a bare number nor an order that could be meant otherwise."""
    with pytest.raises(ValueError, match="duration"):
        read_duration(text)


@pytest.mark.parametrize(
    ("start", "keep", "end"),
    [
        (date(2024, 2, 29), "2y", date(2026, 2, 28)),
        (date(2024, 2, 29), "6y", date(2030, 2, 28)),
        (date(2026, 8, 31), "6m", date(2027, 2, 28)),
        (date(2026, 11, 22), "28d", date(2026, 12, 20)),
        (date(2026, 12, 15), "1m", date(2027, 1, 15)),
        (date(2026, 1, 1), "4w", date(2026, 1, 29)),
    ],
)
def test_law_57_years_and_months_are_counted_on_the_calendar(start: date, keep: str, end: date) -> None:
    """LAW-57: a day the month lacks becomes the last of the month."""
    assert CalendarPeriod.read(keep).after(start) == end


def test_nothing_is_a_period_of_its_own_word() -> None:
    """What ends with a relationship may go on that very day: `0d`, and no other way to write it."""
    assert str(CalendarPeriod.read("0d")) == "0d"
    assert CalendarPeriod.read("0d").after(date(2024, 2, 29)) == date(2024, 2, 29)


@pytest.mark.parametrize("text", ["", "2", "0y", "2 years", "1d2y", "200y", "-2y", "99999d"])
def test_what_is_no_period_is_refused(text: str) -> None:
    """A retention class without an end in sight is no retention class."""
    with pytest.raises(ValueError, match="period"):
        CalendarPeriod.read(text)


@pytest.mark.parametrize(("text", "size"), [("1GiB", 2**30), ("500MB", 5 * 10**8), ("0B", 0), ("1536KiB", 1536 * 1024)])
def test_a_size_is_a_number_of_bytes_that_prints_as_written(text: str, size: int) -> None:
    """1 GiB and 1 GB differ."""
    assert ByteSize.read(text) == size
    assert ByteSize.read(str(ByteSize(size))) == size


def test_ports_are_a_range_of_all_ports() -> None:
    """The last port named belongs to it."""
    assert read_port_range("10000-10003") == range(10000, 10004)


@pytest.mark.parametrize("text", ["udp://127.0.0.1:5070", "tcp://[::1]:5070", "udp://0.0.0.0:65535"])
def test_a_listening_place_prints_as_written(text: str) -> None:
    """IPv6 keeps its brackets."""
    assert str(Listen.read(text)) == text


@pytest.mark.parametrize(
    "text",
    ["203.0.113.7", "203.0.113.7:5060", "203.0.113.0/24", "[2001:db8::1]:5060", "2001:db8::1", "sbc.example:5080"],
)
def test_a_peer_address_prints_as_written(text: str) -> None:
    """host, host:port or CIDR."""
    assert str(PeerAddress.read(text)) == text


@pytest.mark.parametrize(
    ("text", "broker"),
    [
        ("mqtt://127.0.0.1", BrokerUrl("127.0.0.1", 1883, tls=False)),
        ("mqtts://b.example/", BrokerUrl("b.example", 8883, tls=True)),
        ("mqtt://[::1]:1884", BrokerUrl("::1", 1884, tls=False)),
    ],
)
def test_a_broker_has_its_usual_port(text: str, broker: BrokerUrl) -> None:
    """1883 in clear, 8883 under TLS."""
    assert BrokerUrl.read(text) == broker


@pytest.mark.parametrize(
    "uri", ["sip:127.0.0.2:5062", "sip:[::1]:5060", "sip:200@pbx.example;transport=tcp", "SIP:pbx_1"]
)
def test_a_destination_is_a_sip_uri_in_outline(uri: str) -> None:
    """Signalling reads it in full."""
    assert read_sip_uri(uri) == uri


@pytest.mark.parametrize(
    "uri", ["", "pbx", "sip:", "sip:h:99999", "http://h", "sip:10.0.0.999", "sip:a@b@c", "tel:+44", "sip:h?a=b"]
)
def test_what_is_no_destination_is_refused(uri: str) -> None:
    """Before the first call fails on it."""
    with pytest.raises(ValueError, match=r"SIP URI|port"):
        read_sip_uri(uri)


@given(st.text(max_size=40))
def test_every_reader_returns_a_value_or_raises_valueerror(text: str) -> None:
    """Whatever an operator types, a reader says what it expected."""
    for reader in (
        read_duration,
        read_port_range,
        read_sip_uri,
        ByteSize.read,
        CalendarPeriod.read,
        Listen.read,
        PeerAddress.read,
        BrokerUrl.read,
    ):
        try:
            reader(text)
        except ValueError as error:
            assert str(error)  # noqa: PT017 - either outcome is right; a refusal must have words
