"""A description passed from one side of the recorder to the other: only addresses change, what it says stays."""

from __future__ import annotations

from ipaddress import ip_address

from callrec.sdp.audio import AudioMedia, audio_of
from callrec.sdp.description import Direction, Line, MediaDescription, SessionDescription

# What belongs to the sender's own addresses and keys, or to RTCP and ICE that end here.
_OF_THE_SENDER = (
    "rtcp:",
    "rtcp-mux",
    "candidate:",
    "ice-",
    "end-of-candidates",
    "ssrc",
    "rtcp-fb:",
    "remote-candidates",
    "crypto:",
    "key-mgmt:",
)
# RFC 3264 8.4: an unspecified address asks not to be sent to, which with our address only a direction can say.
_HELD = {Direction.SENDRECV: Direction.SENDONLY, Direction.RECVONLY: Direction.INACTIVE}


def relay(
    description: SessionDescription,
    local: tuple[str, int],
    *,
    session_id: int,
    version: int,
    audio: AudioMedia | None = None,
) -> SessionDescription:
    """Return a party's description as the other party is to see it: its first usable audio stream at our address.

    `audio` is that stream where it is not the first that needs no keys. The keys of SRTP are never passed on.
    Codecs, payload types, directions and unknown attributes stay. Other streams are refused with port 0.

    Raises:
        PeerError: 488 where there is no usable audio stream.
    """
    audio = audio or audio_of(description)
    family = "IP6" if ":" in local[0] else "IP4"
    replaced = {"o": f"- {session_id} {version} IN {family} {local[0]}", "c": f"IN {family} {local[0]}"}
    lines = [(letter, value) for letter, value in description.lines if letter not in replaced and not _is_ours(letter)]
    head: tuple[Line, ...] = (("v", "0"), ("o", replaced["o"]), ("s", _session_name(description)), ("c", replaced["c"]))
    rest = tuple(line for line in lines if line[0] not in "vs" and not _of_the_sender(line))
    held = _is_unspecified(audio.address)
    media = tuple(
        _at(stream, local[1], audio.direction if held else None) if index == audio.index else _refused(stream)
        for index, stream in enumerate(description.media)
    )
    return SessionDescription(head + rest, media)


def _is_ours(letter: str) -> bool:
    return letter in "oc"


def _session_name(description: SessionDescription) -> str:
    return next((value for letter, value in description.lines if letter == "s"), "-") or "-"


def _of_the_sender(line: Line) -> bool:
    return line[0] == "a" and line[1].startswith(_OF_THE_SENDER)


def _is_unspecified(address: str) -> bool:
    try:
        return ip_address(address).is_unspecified
    except ValueError:
        return False


def _at(stream: MediaDescription, port: int, held_from: Direction | None) -> MediaDescription:
    lines = tuple(line for line in stream.lines if line[0] != "c" and not _of_the_sender(line))
    if held_from is not None:
        directions = {direction.value for direction in Direction}
        lines = tuple(line for line in lines if line[0] != "a" or line[1] not in directions)
        lines = (*lines, ("a", _HELD.get(held_from, held_from).value))
    return MediaDescription(stream.kind, port, stream.protocol, stream.formats, lines)


def _refused(stream: MediaDescription) -> MediaDescription:
    return MediaDescription(stream.kind, 0, stream.protocol, stream.formats)
