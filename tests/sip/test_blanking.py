"""What of a SIP message is crossed out before it is kept anywhere (LAW-74, RTP-9, SIP-11)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callrec.sip.blanking import blanked

HEAD = b"%s sip:desk@pbx SIP/2.0\r\nCall-ID: a\r\nCSeq: 2 %s\r\n%s\r\n\r\n"


def message(method: bytes, headers: bytes, body: bytes = b"") -> bytes:
    return HEAD % (method, method, headers) + body


@pytest.mark.parametrize(
    ("headers", "secret"),
    [
        (b'Authorization: Digest username="trunk7", response="6629fae49393a05397450978507c4ef1"', b"6629fae4"),
        (b'proxy-authorization : Digest realm="x",\r\n response="deadbeef", nc=1', b"deadbeef"),
        (b"AUTHORIZATION: Basic dXNlcjpwYXNz", b"dXNlcjpwYXNz"),
    ],
)
def test_sip_11_credentials_are_crossed_out(headers: bytes, secret: bytes) -> None:
    """SIP-11: also folded, also in any case; the scheme and the other headers stay."""
    kept = blanked(message(b"INVITE", headers))
    assert secret not in kept
    assert len(kept) == len(message(b"INVITE", headers))
    assert b"Call-ID: a\r\n" in kept


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (b"Content-Type: application/dtmf-relay", b"Signal=7\r\nDuration=160\r\n"),
        (b"c: application/dtmf", b"7"),
        (b"Content-Type: application/kpml-response+xml", b"<kpml digits='4929'/>"),
        (b"Content-Type: multipart/mixed;boundary=x", b"--x\r\n\r\n4929\r\n--x--"),
        (b"X: y", b"4929"),
    ],
)
def test_law_74_bodies_in_which_digits_may_stand_are_crossed_out(headers: bytes, body: bytes) -> None:
    """LAW-74: of an INFO only its length is left."""
    assert blanked(message(b"INFO", headers, body)) == message(b"INFO", headers, b"x" * len(body))


def test_rtp_9_srtp_keys_are_crossed_out_and_the_rest_of_the_sdp_stays() -> None:
    """RTP-9: keys of SDES and whatever else in SDP is a secret."""
    key = b"WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
    body = b"m=audio 4000 RTP/SAVP 8\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:%s|2^20\r\na=rtpmap:8 PCMA/8000\r\n"
    kept = blanked(message(b"INVITE", b"Content-Type: application/sdp", body % key))
    assert key not in kept
    assert b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:xxxx" in kept
    assert kept.endswith(b"\r\na=rtpmap:8 PCMA/8000\r\n")


@given(st.binary(max_size=400))
def test_anything_has_a_form_of_the_same_length(data: bytes) -> None:
    """Whatever came over the wire is taken: a trace never costs a call."""
    assert len(blanked(data)) == len(data)
