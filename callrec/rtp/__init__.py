"""RTP without I/O: headers, reception counts, continuous outgoing streams, digits, G.711 and tones."""

from callrec.rtp.g711 import Law
from callrec.rtp.header import FIXED_HEADER, FIXED_LENGTH, RtpPacket, is_rtcp, payload_of
from callrec.rtp.outgoing import OutgoingStream
from callrec.rtp.reception import Reception
from callrec.rtp.rtcp import fraction_lost
from callrec.rtp.telephone_event import DIGITS, DigitReceiver
from callrec.rtp.tones import BUSY, CONGESTION, NUMBER_UNOBTAINABLE, RINGBACK, Tone, tone, tone_sources

__all__ = [
    "BUSY",
    "CONGESTION",
    "DIGITS",
    "FIXED_HEADER",
    "FIXED_LENGTH",
    "NUMBER_UNOBTAINABLE",
    "RINGBACK",
    "DigitReceiver",
    "Law",
    "OutgoingStream",
    "Reception",
    "RtpPacket",
    "Tone",
    "fraction_lost",
    "is_rtcp",
    "payload_of",
    "tone",
    "tone_sources",
]
