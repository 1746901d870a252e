"""Calling Line Identification: who calls, how far that is believed, and what was called. No I/O."""

from callrec.calling_line.called import CalledNumber, called_number, emergency_digits, is_emergency
from callrec.calling_line.facts import NumberFacts, NumberType, facts_of
from callrec.calling_line.identity import (
    CallingLineIdentity,
    CliFlag,
    CliSource,
    CliStatus,
    CliTrust,
    WithheldReason,
    identify,
)
from callrec.calling_line.numbers import Number, NumberKind, national_of, read_number
from callrec.calling_line.party import readable
from callrec.calling_line.profile import PeerProfile
from callrec.calling_line.query import NumberQuery, lookup_key, mask, normalise_query, parse_query

__all__ = [
    "CalledNumber",
    "CallingLineIdentity",
    "CliFlag",
    "CliSource",
    "CliStatus",
    "CliTrust",
    "Number",
    "NumberFacts",
    "NumberKind",
    "NumberQuery",
    "NumberType",
    "PeerProfile",
    "WithheldReason",
    "called_number",
    "emergency_digits",
    "facts_of",
    "identify",
    "is_emergency",
    "lookup_key",
    "mask",
    "national_of",
    "normalise_query",
    "parse_query",
    "read_number",
    "readable",
]
