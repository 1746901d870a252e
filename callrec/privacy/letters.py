"""The letters of a deletion request, as text: acknowledgement, completion, refusal, extension.

They cite the law in force on their date (G-1) and, where the answer is not a plain yes, the routes to us, to the
Commissioner and to the court (Article 12(4)). They name the person if a name is known, and never a telephone number:
a letter goes astray more easily than a recording.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from string import Template

from callrec.errors import ExitCode, OperatorError
from callrec.privacy.clocks import Deadlines
from callrec.privacy.grounds import TEXTS, Ground
from callrec.privacy.law import Law, law_on

_WIDTH = 78


class Letter(StrEnum):
    """Which letter."""

    ACKNOWLEDGEMENT = "acknowledgement"
    COMPLETION = "completion"
    REFUSAL = "refusal"
    EXTENSION = "extension"


@dataclass(frozen=True, slots=True)
class KeptPart:
    """What of a request was refused, and on which ground."""

    ground: Ground
    calls: int


@dataclass(frozen=True, slots=True)
class LetterFacts:
    """What letters tell; a letter that needs what is missing is refused."""

    organisation: str
    request_id: str
    written_on: date
    deadlines: Deadlines
    contact: str = ""
    """How to reach us, on one line; empty means "by answering this letter"."""
    name: str | None = None
    identity_known: bool = False
    calls_erased: int | None = None
    """How many calls went; a completion needs it."""
    completed_on: date | None = None
    kept: Sequence[KeptPart] = ()
    waiting: int = 0
    """Calls that wait for an answer to a request for access, or under a restriction."""
    outstanding: Sequence[str] = ()
    """Stores outside that are not yet confirmed."""
    backups_until: date | None = None
    """When the last backup is gone from which the erased could be read; None if there is none."""
    recipients: Sequence[str] = ()
    """Who has been told to erase, too (Article 19)."""
    ground: Ground | None = None
    """A refusal needs it."""
    explanation: str = ""
    """In the words of whoever refuses or extends; an extension needs it."""


_ACKNOWLEDGEMENT = Template("""\
We received your request to delete recordings and records of your calls on $received.

$identity

We promise to delete them within 28 days of your request: before $promise begins. The law gives us until $statutory \
to answer you ($time_limit); that date can move while we wait for something only you can tell us, our promise does not.
""")

_IDENTITY_KNOWN = "You have shown us who you are; there is nothing more for you to do."
_IDENTITY_ASKED = (
    "So that nobody else has your calls deleted, please show us who you are: from your customer account, by letting "
    "us call you back on the number we know, or by telling us details of a call. The number you call from is no proof. "
    "Please send no copy of an identity document."
)

_COMPLETION = Template("""\
You asked us on $received to delete recordings and records of your calls ($erasure).

$done
""")

_REFUSAL = Template("""\
You asked us on $received to delete recordings and records of your calls. We have not done so.

$reason
""")

_EXTENSION = Template("""\
You asked us on $received to delete recordings and records of your calls. The law gives us one month to answer, and \
two further months where that is needed ($extension). We need them, and will answer by $statutory.

The reason: $explanation

This does not change our own promise of 28 days, which ends before $promise begins. Where we do not keep it, we tell \
you.
""")

_RIGHTS = Template("""\
$complaint, to the Information Commissioner (ico.org.uk/make-a-complaint, 0303 123 1113), and you may ask a court to \
order what you are entitled to ($court). We tell you this under $refusal.
""")

_FRAME = Template("""\
$organisation
$written_on
Our reference: $request_id

$greeting

$body
$closing

Yours faithfully
$organisation
""")

_TITLES = {
    Letter.ACKNOWLEDGEMENT: "We have your request",
    Letter.COMPLETION: "Your calls are deleted",
    Letter.REFUSAL: "We do not delete your calls",
    Letter.EXTENSION: "We need more time",
}


def read_letter(text: str) -> Letter:
    """Return the letter a person names.

    Raises:
        OperatorError: with exit code 2 if there is none of that name.
    """
    try:
        return Letter(text)
    except ValueError:
        known = ", ".join(letter.value for letter in Letter)
        raise OperatorError(f"found letter {text!r}, expected one of {known}", exit_code=ExitCode.USAGE) from None


def write(letter: Letter, facts: LetterFacts) -> str:
    """Return a letter as text, in lines of at most 78 characters.

    Raises:
        OperatorError: with exit code 5 if it would tell what has not happened yet.
    """
    law = law_on(facts.written_on)
    body = {
        Letter.ACKNOWLEDGEMENT: _acknowledgement,
        Letter.COMPLETION: _completion,
        Letter.REFUSAL: _refusal,
        Letter.EXTENSION: _extension,
    }[letter](facts, law)
    contact = f"You reach us here: {facts.contact}." if facts.contact else "You reach us by answering this letter."
    text = _FRAME.substitute(
        organisation=facts.organisation,
        written_on=_day(facts.written_on),
        request_id=facts.request_id,
        greeting=f"Dear {' '.join(facts.name.split())}," if facts.name else "Dear Sir or Madam,",
        body=f"{_title(letter, facts)}\n\n{body}",
        closing=f"This letter is written under {law.name}. {contact}",
    )
    return _wrapped(text)


def _title(letter: Letter, facts: LetterFacts) -> str:
    partly = letter is Letter.COMPLETION and (facts.kept or facts.waiting or facts.outstanding)
    return "What of your calls is deleted, and what is not yet" if partly else _TITLES[letter]


def _acknowledgement(facts: LetterFacts, law: Law) -> str:
    return _ACKNOWLEDGEMENT.substitute(
        received=_day(facts.deadlines.received_local_date),
        identity=_IDENTITY_KNOWN if facts.identity_known else _IDENTITY_ASKED,
        promise=_day(facts.deadlines.promise_due_local_date),
        statutory=_day(facts.deadlines.statutory_due_local_date),
        time_limit=law.time_limit,
    )


def _completion(facts: LetterFacts, law: Law) -> str:
    if facts.calls_erased is None or facts.completed_on is None:
        raise _not_yet("a completion letter", "a request that is executed and verified")
    done = (
        f"On {_day(facts.completed_on)} we deleted {_calls(facts.calls_erased)}: the sound, the telephone numbers and "
        "the names. We then tried to read them, and could not. What remains says that there was a call in a month, "
        "whether it came in or went out and how it ended, and nothing about you."
    )
    if facts.calls_erased == 0:
        done = f"By {_day(facts.completed_on)} there was nothing that we could delete."
    paragraphs = [done, *(_kept(part) for part in facts.kept), *_rest(facts)]
    received = _day(facts.deadlines.received_local_date)
    text = _COMPLETION.substitute(received=received, erasure=law.erasure, done="\n\n".join(paragraphs))
    return f"{text}\n{_rights(law)}" if facts.kept or facts.waiting else text


def _rest(facts: LetterFacts) -> list[str]:
    found: list[str] = []
    if facts.waiting:
        found.append(
            f"We still keep {_calls(facts.waiting)}: a request for a copy, or not to use them, comes first. We delete "
            "them as soon as that is dealt with, without a new request."
        )
    if facts.outstanding:
        found.append(f"Not yet confirmed as deleted: {_listed(facts.outstanding)}. We write again when they are.")
    if facts.backups_until is not None:
        found.append(
            f"Backups from before the deletion are beyond use: nobody reads them, and nothing is restored from them "
            f"without deleting your calls again. The last of them is gone on {_day(facts.backups_until)}."
        )
    if facts.recipients:
        found.append(f"We have told these recipients to delete, too (Article 19): {_listed(facts.recipients)}.")
    return found


def _refusal(facts: LetterFacts, law: Law) -> str:
    if facts.ground is None:
        raise _not_yet("a refusal letter", "a request that is refused with a ground")
    text = TEXTS[facts.ground]
    reason = f"{text.sentence} We rely on {text.source}. {facts.explanation}".rstrip()
    received = _day(facts.deadlines.received_local_date)
    return f"{_REFUSAL.substitute(received=received, reason=reason)}\n{_rights(law)}"


def _extension(facts: LetterFacts, law: Law) -> str:
    if not facts.explanation.strip():
        raise _not_yet("an extension letter", "a request that is extended with reasons (LAW-22)")
    text = _EXTENSION.substitute(
        received=_day(facts.deadlines.received_local_date),
        extension=law.extension,
        statutory=_day(facts.deadlines.statutory_due_local_date),
        explanation=facts.explanation.strip(),
        promise=_day(facts.deadlines.promise_due_local_date),
    )
    return f"{text}\n{_rights(law)}"


def _rights(law: Law) -> str:
    return _RIGHTS.substitute(complaint=law.complaint, court=law.court, refusal=law.refusal)


def _kept(part: KeptPart) -> str:
    text = TEXTS[part.ground]
    again = " We delete them as soon as that is over, without a new request." if part.ground in _PASSING else ""
    return f"We keep {_calls(part.calls)}. {text.sentence} We rely on {text.source}.{again}"


_PASSING = {Ground.LEGAL_CLAIMS, Ground.LEGAL_OBLIGATION}


def _not_yet(what: str, needs: str) -> OperatorError:
    return OperatorError(f"{what} needs {needs}; this one is not", exit_code=ExitCode.REFUSED)


def _calls(number: int) -> str:
    return "1 call" if number == 1 else f"{number} calls"


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _wrapped(text: str) -> str:
    lines = (textwrap.fill(line, _WIDTH, break_long_words=False, break_on_hyphens=False) for line in text.splitlines())
    return "\n".join(lines) + "\n"
