"""What each party is told in SDP: nothing is transcoded, so both legs speak one codec under numbers both know."""

from __future__ import annotations

from collections.abc import Collection

from callrec.errors import PeerError
from callrec.recorder.leg import Leg
from callrec.sdp import (
    AudioMedia,
    Codec,
    Direction,
    SessionDescription,
    answer_to,
    choose_codec,
    offer_of,
    reverse_direction,
)
from callrec.sdp.relaying import relay

_TELEPHONE_EVENT = "telephone-event"
_G711 = ("PCMA", "PCMU")
_DIGITS_RATE = 8000
_OUR_CODECS = (
    Codec("PCMA", 8, 8000),
    Codec("PCMU", 0, 8000),
    Codec("G722", 9, 8000),
    Codec("opus", 107, 48_000, 2, "useinbandfec=1"),
)
"""G.711 first: who asks us to offer is a gateway, and most of what it leads to has nothing else."""
_OUR_TELEPHONE_EVENT = Codec(_TELEPHONE_EVENT, 101, 8000, parameters="0-15")


def read(leg: Leg, body: bytes) -> AudioMedia:
    """Keep what a party said in SDP.

    Raises:
        PeerError: 400 where it is no SDP, 488 where it has no audio stream that we can relay.
        SecurityError: where it would go in clear and must not.
    """
    description = SessionDescription.parse(body)
    audio = leg.security.audio_of(description)
    leg.security.renewing = False
    leg.heard(description, audio)
    return audio


def playable_codec(leg: Leg, refused: Collection[str] = ()) -> Codec | None:
    """Return the first codec that a party named in which it can hear us, None where there is none.

    G.711 goes before all others unless the leg may have wide band: every network takes it, so no destination refuses.
    """
    if leg.audio is None:
        return None
    names = [name for name in leg.playable if name not in refused]
    narrow = [] if leg.wideband else [name for name in names if name in _G711]
    return choose_codec(leg.audio, narrow) or choose_codec(leg.audio, names)


def avoid(leg: Leg, refused: Collection[str]) -> None:
    """Do not answer a party in codecs that its destination refused lately, unless it named no other."""
    if playable_codec(leg, refused) is not None:
        leg.playable = tuple(name for name in leg.playable if name not in refused)


def answer(leg: Leg) -> bytes:
    """Return our answer to a party's offer: one codec, and digits where it has them."""
    assert leg.remote_session is not None, "internal error: nothing was offered"
    assert leg.audio is not None, "internal error: nothing was offered"
    leg.codec = leg.codec or playable_codec(leg)
    assert leg.codec is not None, "internal error: an announced call without a playable codec"
    return _answer(leg, leg.remote_session, leg.codec, reverse_direction(leg.audio.direction))


def _answer(leg: Leg, offer: SessionDescription, codec: Codec, direction: Direction) -> bytes:
    audio = leg.audio
    assert audio is not None, "internal error: nothing was offered"

    def said(version: int) -> bytes:
        description = answer_to(
            offer,
            codec,
            leg.digits,
            leg.sdp_address,
            direction=direction,
            session_id=leg.session_id,
            version=version,
            audio=audio,
        )
        return leg.security.in_answer(description, audio).serialize()

    # Who says the same again says so by the same version (RFC 3264 8, SIP-7).
    if leg.own_session is None or leg.own_session != said(leg.version):
        leg.own_session = said(leg.next_version())
    return leg.own_session


def answer_again(leg: Leg, offer: bytes) -> bytes | None:
    """Return our own answer to a re-INVITE: the codec stays; None where the offer no longer has it, or is no SDP."""
    before = leg.codec
    try:
        audio = read(leg, offer)
    except PeerError:
        return None
    same = None if before is None else _same_in(audio.codecs, before)
    if same is None or leg.remote_session is None:
        return None
    leg.codec = same
    return _answer(leg, leg.remote_session, same, reverse_direction(audio.direction))


def _offer(leg: Leg, codecs: Collection[Codec], events: Codec | None) -> bytes:
    description = offer_of(
        tuple(codecs), events, leg.sdp_address, session_id=leg.session_id, version=leg.next_version()
    )
    leg.own_session = leg.security.in_offer(description).serialize()
    return leg.own_session


def notice_offer(leg: Leg) -> bytes:
    """Return our offer to a party that made none (SIP-6): the codecs of the notice."""
    codecs = [codec for codec in _OUR_CODECS if codec.name.upper() in leg.playable]
    return _offer(leg, codecs, _OUR_TELEPHONE_EVENT)


def single_codec_offer(caller: Leg, destination: Leg) -> bytes:
    """Return the offer to the destination: exactly what was agreed with the caller, under the same numbers.

    Digits at 8,000 are offered beside those at the clock of Opus where the caller knows both: most PBXs have no other.
    """
    assert caller.codec is not None, "internal error: nothing was agreed with the caller"
    return _offer(destination, (caller.codec, *_digits_at_8000(caller)), caller.digits)


def _digits_at_8000(leg: Leg) -> tuple[Codec, ...]:
    """Return a party's digits at 8,000, where it has them besides those that go with its codec."""
    if leg.audio is None or leg.digits is None or leg.digits.clock_rate == _DIGITS_RATE:
        return ()
    numbers = [number for number, rate in leg.audio.telephone_events.items() if rate == _DIGITS_RATE]
    return tuple(Codec(_TELEPHONE_EVENT, number, _DIGITS_RATE, parameters="0-15") for number in numbers[:1])


def recoded_offer(caller: Leg, refused: Collection[str]) -> bytes | None:
    """Return a re-INVITE's offer with the next codec of the caller's own, or None where none is left."""
    codec = playable_codec(caller, refused)
    return None if codec is None else _offer(caller, (codec,), caller.digits)


def offer_again(leg: Leg) -> bytes | None:
    """Return our offer to a party that asks for one in a dialog: the codec stays; None before one was agreed."""
    return None if leg.codec is None else _offer(leg, (leg.codec,), leg.digits)


def another_codec(caller: Leg, refused: Collection[str]) -> bool:
    """Return whether the caller offered a codec, besides the one in use and those refused, that we could try."""
    if caller.codec is None:
        return False
    return playable_codec(caller, {*refused, caller.codec.name.upper()}) is not None


def relayed(body: bytes, sender: Leg, receiver: Leg, *, answers: bool = False) -> bytes:
    """Return one party's SDP as the other is to read it: with our address, and our keys, on the receiver's leg.

    `answers`: it is the answer to an offer of the receiver.

    Raises:
        PeerError: where it has no audio stream that we can relay.
    """
    read(sender, body)
    assert sender.remote_session is not None, "internal error: nothing was read"
    description = relay(
        sender.remote_session,
        receiver.sdp_address,
        session_id=receiver.session_id,
        version=receiver.next_version(),
        audio=sender.audio,
    )
    if answers and receiver.audio is not None:
        description = receiver.security.in_answer(description, receiver.audio)
    else:
        description = receiver.security.in_offer(description)
    receiver.own_session = description.serialize()
    return receiver.own_session


def agree(offerer: Leg, answerer: Leg) -> None:
    """Note the codec that an offer and its answer have in common: the answer's first, each side's number for it."""
    if answerer.audio is None or not answerer.audio.codecs:
        return
    offered = () if offerer.audio is None else offerer.audio.codecs
    answerer.codec = answerer.audio.codecs[0]  # where nothing is in common, what comes is what was answered
    for codec in answerer.audio.codecs:
        if (same := _same_in(offered, codec)) is not None:
            answerer.codec, offerer.codec = codec, same
            return


def agree_on_single(caller: Leg, destination: Leg) -> bool:
    """Note the destination's number for the one codec it was offered; return False where its answer has another."""
    if destination.audio is None or caller.codec is None:
        return False
    same = _same_in(destination.audio.codecs, caller.codec)
    destination.codec = same or destination.codec
    return same is not None


def _same_in(codecs: Collection[Codec], wanted: Codec) -> Codec | None:
    return next((codec for codec in codecs if codec.is_same_as(wanted)), None)


def has_audio(body: bytes) -> bool:
    """Return whether a description has an audio stream at all, in whatever codec or protocol."""
    return any(media.kind == "audio" and media.port != 0 for media in SessionDescription.parse(body).media)
