"""Which names DNS is asked for, and in which order its answers are tried (SIP-13; RFC 3263, RFC 2782)."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callrec.sip.locating import Naptr, Service, Srv, has_services, in_order, is_refused, services, transports_for
from callrec.sip.uri import Uri

RECORDS = st.lists(
    st.builds(
        Srv,
        priority=st.integers(0, 3),
        weight=st.integers(0, 0xFFFF),
        port=st.integers(1, 0xFFFF),
        target=st.sampled_from(["a.example", "b.example", "c.example"]),
    ),
    max_size=12,
)


@given(RECORDS, st.randoms(use_true_random=False))
def test_every_record_is_tried_once_and_by_priority(records: list[Srv], random: Random) -> None:
    """RFC 2782: a lower priority always comes first, and no record is lost or tried twice."""
    ordered = in_order(records, random.randbytes)
    assert Counter(ordered) == Counter(records)
    assert [record.priority for record in ordered] == sorted(record.priority for record in records)


def test_weights_share_the_calls() -> None:
    """RFC 2782: of two records of one priority, weight 3 is tried first three times as often as weight 1."""
    light, heavy = Srv(0, 1000, 5060, "light.example"), Srv(0, 3000, 5060, "heavy.example")
    random = Random(1)
    first = Counter(in_order([light, heavy], random.randbytes)[0] for _ in range(4000))
    assert 2800 <= first[heavy] <= 3200


def test_weight_zero_is_next_to_never_first() -> None:
    """RFC 2782: a record of weight 0 is kept for when the others fail."""
    none, some = Srv(0, 0, 5060, "none.example"), Srv(0, 1000, 5060, "some.example")
    random = Random(2)
    assert sum(in_order([none, some], random.randbytes)[0] == none for _ in range(1000)) < 10


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sip:100@pbx.example", True),
        ("sip:100@pbx.example;transport=tcp", True),
        ("sip:100@pbx.example:5060", False),
        ("sip:100@192.0.2.7", False),
        ("sip:100@[2001:db8::7]", False),
        ("sip:100@pbx.example;maddr=192.0.2.7", False),
        ("sip:100@192.0.2.7;maddr=pbx.example", True),
    ],
)
def test_a_port_or_a_literal_leaves_dns_no_choice(uri: str, expected: bool) -> None:
    """RFC 3263 4.2: SRV is asked only for a name without a port; `maddr` stands for the host."""
    assert has_services(Uri.parse(uri)) is expected


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sip:pbx.example", ("udp", "tcp", "tls")),
        ("sip:pbx.example;transport=tcp", ("tcp",)),
        ("sip:pbx.example;transport=tls", ("tls",)),
        ("sips:pbx.example", ("tls",)),
        ("sips:pbx.example;transport=tcp", ("tls",)),
    ],
)
def test_the_uri_narrows_the_transports(uri: str, expected: tuple[str, ...]) -> None:
    """RFC 3263 4.1: a transport in the URI is used, and sips never leaves TLS."""
    assert transports_for(Uri.parse(uri), ("udp", "tcp", "tls")) == expected


def test_naptr_orders_what_we_speak() -> None:
    """RFC 3263 4.1: by order and preference; SCTP, which we do not speak, and terminal addresses are left out."""
    records = [
        Naptr(20, 10, "s", "SIP+D2U", "_sip._udp.example"),
        Naptr(10, 20, "S", "sip+d2t", "_sip._tcp.example"),
        Naptr(10, 10, "s", "SIP+D2S", "_sip._sctp.example"),
        Naptr(5, 10, "a", "SIP+D2U", "host.example"),
        Naptr(1, 10, "s", "SIPS+D2T", "_sips._tcp.example"),
    ]
    found = services("example", records, ("udp", "tcp"))
    assert found == (Service("tcp", "_sip._tcp.example"), Service("udp", "_sip._udp.example"))


def test_without_naptr_the_usual_names_are_asked_for() -> None:
    """RFC 3263 4.1: no NAPTR record leads to one SRV question for each transport we speak."""
    assert services("pbx.example", (), ("tls", "udp")) == (
        Service("tls", "_sips._tcp.pbx.example"),
        Service("udp", "_sip._udp.pbx.example"),
    )


def test_a_target_of_a_dot_is_nowhere() -> None:
    """RFC 2782: a single record with target "." says that the service is not offered."""
    assert is_refused([Srv(0, 0, 0, ".")])
    assert not is_refused([Srv(0, 0, 5060, "a.example")])
    assert in_order([Srv(0, 0, 0, ".")], Random(3).randbytes) == []
