"""RTP and RTCP without I/O: headers, reception, reports, quality, outgoing streams, digits, G.711 and tones."""

from callrec.rtp.g711 import Law
from callrec.rtp.header import FIXED_HEADER, FIXED_LENGTH, RtpPacket, is_rtcp, payload_of
from callrec.rtp.jitter import Jitter
from callrec.rtp.key_codes import KeyCodes
from callrec.rtp.outgoing import OutgoingStream
from callrec.rtp.quality import estimate_mos
from callrec.rtp.reception import Reception
from callrec.rtp.reporting import Reporting, Sent
from callrec.rtp.rtcp import Compound, Report, ReportBlock, SenderInfo, compound_of, parse_compound
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
    "Compound",
    "DigitReceiver",
    "Jitter",
    "KeyCodes",
    "Law",
    "OutgoingStream",
    "Reception",
    "Report",
    "ReportBlock",
    "Reporting",
    "RtpPacket",
    "SenderInfo",
    "Sent",
    "Tone",
    "compound_of",
    "estimate_mos",
    "is_rtcp",
    "parse_compound",
    "payload_of",
    "tone",
    "tone_sources",
]
