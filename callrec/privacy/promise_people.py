"""Whom a promise is about: a number in any spelling, or a party by what people call it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from callrec.calling_line import mask, normalise_query
from callrec.catalogue.indexing import IndexKeys, keyed_hash
from callrec.errors import ExitCode, OperatorError

T = TypeVar("T")


class Parties(Protocol):
    """What is asked of the book of relationships."""

    async def party_id(self, ref: str) -> str | None:
        """Return the id of the party that goes by a reference, None where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Whom:
    """One person or firm: a number with its keyed hash, or a party with its id."""

    number: str | None = None
    ref: str | None = None
    lookup: bytes | None = None
    party_id: str | None = None

    @property
    def document(self) -> dict[str, str]:
        """Return what is sealed of it."""
        return {"number": self.number} if self.number is not None else {"ref": self.ref or ""}

    @property
    def masked(self) -> dict[str, str]:
        """Return what an audit entry may say of it."""
        return {"number": mask(self.number)} if self.number is not None else {"party": self.ref or ""}


async def find_whom(
    number: str | None, ref: str | None, *, keys: IndexKeys, parties: Parties | None, country: str
) -> Whom:
    """Return whom a number, in any spelling, or a reference names.

    Raises:
        OperatorError: with exit code 2 if it is not exactly one of the two or no telephone number, 3 if no party goes
            by that reference.
    """
    if (number is None) == (ref is None):
        raise usage("found neither a number nor a party, or both; name one of the two")
    if number is not None:
        e164 = normalise_query(number, country)
        if e164 is None:
            raise usage(f"number {mask(number)}: expected a telephone number, such as 01632 960001 or +441632960001")
        return Whom(number=e164, lookup=keyed_hash(keys.number, e164))
    name = (ref or "").strip()
    party_id = await parties.party_id(name) if parties is not None and name else None
    if party_id is None:
        raise OperatorError(
            f"party {name!r}: there is none; `callrec relationship set` makes one", exit_code=ExitCode.NOT_FOUND
        )
    return Whom(ref=name, party_id=party_id)


def usage(message: str) -> OperatorError:
    """Return the error of a command that is used wrongly: exit code 2."""
    return OperatorError(message, exit_code=ExitCode.USAGE)


def the_one(found: Sequence[T], prefix: str, what: str) -> T:
    """Return the one row that a prefix of an id names.

    Raises:
        OperatorError: with exit code 3 if there is none, 2 if there are several.
    """
    if not found:
        raise OperatorError(f"{what} {prefix}: there is none with this id", exit_code=ExitCode.NOT_FOUND)
    if len(found) > 1:
        raise usage(f"{what} {prefix}: several ids begin so; give more of it")
    return found[0]


def clean_prefix(prefix: str, what: str) -> str:
    """Return the beginning of an id as ids are written.

    Raises:
        OperatorError: with exit code 2 if it is too short to mean one thing.
    """
    text = prefix.strip().lower()
    if len(text) < _SHORTEST_PREFIX or not set(text) <= _OF_IDS:
        raise usage(f"{what} {prefix!r}: expected an id or at least its first {_SHORTEST_PREFIX} characters")
    return text


_SHORTEST_PREFIX = 4
_OF_IDS = set("0123456789abcdef-")


def name_of(document: Mapping[str, Any]) -> dict[str, str | None]:
    """Return number and party of a sealed document as lists show them."""
    return {"number": document.get("number"), "party": document.get("ref")}
