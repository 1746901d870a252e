"""The Replaces header: a dialog that an INVITE is to take the place of (RFC 3891)."""

from __future__ import annotations

from dataclasses import dataclass

from callrec.errors import PeerError
from callrec.sip.grammar import find, parse_parameters


@dataclass(frozen=True, slots=True)
class Replaces:
    """A dialog as Replaces names it: the tags as its receiver has them (RFC 3891 section 3)."""

    call_id: str
    local_tag: str
    remote_tag: str
    early_only: bool = False

    @classmethod
    def parse(cls, text: str) -> Replaces:
        """Return the dialog that a Replaces header names.

        Raises:
            PeerError: 400 where it names none.
        """
        call_id, semicolon, rest = text.partition(";")
        parameters = parse_parameters(semicolon + rest, "Replaces")
        local_tag, remote_tag = find(parameters, "to-tag"), find(parameters, "from-tag")
        if not call_id.strip() or not local_tag or not remote_tag:
            raise PeerError("found a Replaces without call id, to-tag and from-tag, expected all three")
        return cls(call_id.strip(), local_tag, remote_tag, find(parameters, "early-only") is not None)
