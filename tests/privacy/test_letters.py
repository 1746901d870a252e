"""Letters say what is true, cite the law in force, and show the routes to those who decide."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from callrec.errors import ExitCode, OperatorError
from callrec.privacy.clocks import ClockFacts, deadlines
from callrec.privacy.grounds import TEXTS, Ground, ground_of, read_ground
from callrec.privacy.holidays import WorkingDays
from callrec.privacy.law import law_on
from callrec.privacy.letters import KeptPart, Letter, LetterFacts, read_letter, write
from callrec.privacy.protections import Protection

GOLDEN = Path(__file__).parent / "letters"
CLOCKS = deadlines(ClockFacts(datetime(2026, 9, 3, 8, tzinfo=UTC)), ZoneInfo("Europe/London"), WorkingDays.of())
FACTS = LetterFacts("Better Comms (VOIP) Ltd", "5b1f0c3e", date(2026, 9, 4), CLOCKS)
EXTENDED = deadlines(
    ClockFacts(datetime(2026, 9, 3, 8, tzinfo=UTC), extended=True), ZoneInfo("Europe/London"), WorkingDays.of()
)
WHOLE = replace(FACTS, name="Ann Smith", written_on=date(2026, 9, 15), calls_erased=1, completed_on=date(2026, 9, 14))
CASES: dict[str, tuple[Letter, LetterFacts]] = {
    "acknowledgement": (Letter.ACKNOWLEDGEMENT, replace(FACTS, contact="privacy@better.example, 020 7946 0000")),
    "acknowledgement-identified": (Letter.ACKNOWLEDGEMENT, replace(FACTS, name="Ann Smith", identity_known=True)),
    "completion": (Letter.COMPLETION, WHOLE),
    "completion-partly": (
        Letter.COMPLETION,
        replace(
            WHOLE,
            calls_erased=12,
            kept=(KeptPart(Ground.LEGAL_CLAIMS, 2), KeptPart(Ground.LEGAL_OBLIGATION, 1)),
            waiting=3,
            outstanding=("PBX call detail", "voicemail"),
            backups_until=date(2026, 9, 28),
            recipients=("Example Training Ltd",),
        ),
    ),
    "completion-held": (Letter.COMPLETION, replace(WHOLE, calls_erased=0, kept=(KeptPart(Ground.LEGAL_CLAIMS, 2),))),
    "refusal": (
        Letter.REFUSAL,
        replace(FACTS, ground=Ground.LEGAL_CLAIMS, explanation="The claim is before the County Court."),
    ),
    "extension": (
        Letter.EXTENSION,
        replace(FACTS, deadlines=EXTENDED, explanation="The calls lie in three systems that are searched by hand."),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_letters_are_these(name: str) -> None:
    """Each letter is exactly its golden file; CALLREC_WRITE_GOLDEN writes that anew, to be read in review."""
    text, path = write(*CASES[name]), GOLDEN / f"{name}.txt"
    if os.environ.get("CALLREC_WRITE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", CASES)
def test_every_letter_cites_the_law_in_force(name: str) -> None:
    """The UK GDPR and the Acts of 2018 and 2025, and never that of 1998 (G-1)."""
    words = " ".join(write(*CASES[name]).split())
    assert "the UK GDPR and the Data Protection Act 2018, as amended by the Data (Use and Access) Act 2025" in words
    assert "1998" not in words
    assert max(map(len, write(*CASES[name]).splitlines())) <= 78


@pytest.mark.parametrize("ground", list(Ground))
def test_every_refusal_shows_ground_and_routes(ground: Ground) -> None:
    """A refusal names its article and how to complain to us, to the Commissioner and to a court (Article 12(4))."""
    words = " ".join(write(Letter.REFUSAL, replace(FACTS, ground=ground)).split())
    for phrase in (TEXTS[ground].source, "complain to us", "Information Commissioner", "a court", "Article 12(4)"):
        assert phrase in words


def test_law_is_cited_from_the_day_it_commenced() -> None:
    """Article 12A since 5 February 2026, complaints under section 164A since 19 June 2026."""
    assert law_on(date(2026, 2, 4)).time_limit == "Article 12(3) of the UK GDPR"
    assert "12A" in law_on(date(2026, 2, 5)).time_limit
    assert "164A" not in law_on(date(2026, 6, 18)).complaint
    assert "164A" in law_on(date(2026, 6, 19)).complaint
    assert "2025" not in law_on(date(2025, 6, 18)).name


@pytest.mark.parametrize("letter", [Letter.COMPLETION, Letter.REFUSAL, Letter.EXTENSION])
def test_no_letter_tells_what_has_not_happened(letter: Letter) -> None:
    """A completion before the end, a refusal without a ground, an extension without reasons: refused, exit code 5."""
    with pytest.raises(OperatorError, match="this one is not") as caught:
        write(letter, FACTS)
    assert caught.value.exit_code is ExitCode.REFUSED


@pytest.mark.parametrize("read", [read_ground, read_letter])
def test_an_unknown_word_is_one_clear_sentence(read: Callable[[str], Any]) -> None:
    """A ground or a letter that is none lists those that are, and the exit code is 2."""
    with pytest.raises(OperatorError, match=r"found .* 'because', expected one of [a-z_, ]+") as caught:
        read("because")
    assert caught.value.exit_code is ExitCode.USAGE
    assert read_ground("legal_claims") is Ground.LEGAL_CLAIMS
    assert read_letter("refusal") is Letter.REFUSAL


def test_holds_refuse_and_waiting_requests_do_not() -> None:
    """A legal hold and a legal obligation are grounds; an access hold and a restriction only come first (LAW-53)."""
    grounds = {protection: ground_of(protection) for protection in Protection}
    assert grounds == {
        Protection.LEGAL_HOLD: Ground.LEGAL_CLAIMS,
        Protection.LEGAL_OBLIGATION: Ground.LEGAL_OBLIGATION,
        Protection.ACCESS_HOLD: None,
        Protection.RESTRICTION: None,
    }


def test_what_people_write_is_never_a_template() -> None:
    """A dollar in a name or a reason stays a dollar, and a line break in a name does not break the letter."""
    facts = replace(FACTS, name="Ann\n$organisation", ground=Ground.NOT_FOUND, explanation="It cost $received.")
    text = " ".join(write(Letter.REFUSAL, facts).split())
    assert "Dear Ann $organisation," in text
    assert "It cost $received." in text
