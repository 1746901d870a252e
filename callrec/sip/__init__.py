"""SIP without I/O: messages and their parts, framing, and what is built on them (RFC 3261)."""

from callrec.sip.digest import Challenge
from callrec.sip.failure import parse_failure_reply, usable_via
from callrec.sip.framing import KeepAlive, StreamFramer, is_keep_alive
from callrec.sip.headers import Headers
from callrec.sip.message import CSeq, Message, Request, Response, parse_message, respond_to
from callrec.sip.name_address import NameAddress
from callrec.sip.uri import Uri
from callrec.sip.via import Via

__all__ = [
    "CSeq",
    "Challenge",
    "Headers",
    "KeepAlive",
    "Message",
    "NameAddress",
    "Request",
    "Response",
    "StreamFramer",
    "Uri",
    "Via",
    "is_keep_alive",
    "parse_failure_reply",
    "parse_message",
    "respond_to",
    "usable_via",
]
