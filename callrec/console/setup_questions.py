"""What a privacy notice leaves open and only the business can decide, G-1 to G-7: the questions themselves.

Each answer has a default that is safe, and a place in the configuration. Nothing is guessed in silence: what is not
answered stays open, and the doctor says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from callrec.errors import ExitCode, OperatorError
from callrec.settings import CalendarPeriod, CaptureDirection, as_toml

if TYPE_CHECKING:
    from callrec.settings import Settings

_YES, _NO = frozenset({"yes", "y", "true"}), frozenset({"no", "n", "false"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where an answer is written: a key of a section, or a key of the `[[retention_class]]` of a name."""

    section: str
    key: str
    class_name: str = ""
    class_from: str = ""
    """From when a class counts that is not in the configuration yet."""


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to decide."""

    gap: str
    """G-1 to G-7."""
    name: str
    """What an answers file calls it."""
    asks: str
    why: str
    place: Place
    read: Callable[[Any], object]
    """Takes what was typed, or the value of an answers file; raises ValueError that says what is expected."""
    now: Callable[[Settings], object]
    """Returns what holds today: the default of the question."""

    def answer(self, given: object) -> str:
        """Return an answer as TOML.

        Raises:
            OperatorError: with exit code 2, if it is none.
        """
        try:
            return as_toml(self.read(given))
        except ValueError as error:
            message = f"{self.gap} {self.name}: found {given!r}, expected {error}"
            raise OperatorError(message, exit_code=ExitCode.USAGE) from None


def _switch(given: Any) -> bool:
    word = str(given).strip().lower()
    if word not in _YES | _NO:
        raise ValueError("yes or no")
    return word in _YES


def _period(given: Any) -> CalendarPeriod:
    return CalendarPeriod.read(str(given).strip())


def _period_from_call(given: Any) -> CalendarPeriod:
    period = _period(given)
    if period == CalendarPeriod():
        raise ValueError("a period above zero such as 2y or 6m")
    return period


def _line(given: Any) -> str:
    text = " ".join(str(given).split())
    if not text:
        raise ValueError("an address on one line, such as privacy@example.com")
    return text


def _names(given: Any) -> tuple[str, ...]:
    words = given if isinstance(given, list) else str(given).split(",")
    names = (" ".join(str(word).split()) for word in words)
    return tuple(name for name in names if name and name.lower() != "none")


def _keep(name: str, shipped: str) -> Callable[[Settings], object]:
    def now(settings: Settings) -> object:
        return next((row.keep for row in settings.retention_class if row.name == name), CalendarPeriod.read(shipped))

    return now


QUESTIONS = (
    Question(
        "G-1",
        "notice_cites_current_law",
        "Does your privacy notice cite the UK GDPR and the Data Protection Act 2018?",
        "The Act of 1998 is repealed. Letters cite the law in force whatever the notice says; the notice should, too.",
        Place("setup", "notice_cites_current_law"),
        _switch,
        lambda settings: settings.setup.notice_cites_current_law,
    ),
    Question(
        "G-2",
        "keep_unmatched",
        "How long are calls kept of people who never become customers?",
        "The notice gives no period for them. Two years is what it promises to people who enquire.",
        Place("retention_class", "keep", "unmatched", "call"),
        _period_from_call,
        _keep("unmatched", "2y"),
    ),
    Question(
        "G-3",
        "keep_after_relationship",
        "How long are a customer's calls kept after the relationship has ended?",
        "The notice says: for the duration of the relationship. 0d is just that; contracts are another class.",
        Place("retention_class", "keep", "customer", "relationship_end"),
        _period,
        _keep("customer", "0d"),
    ),
    Question(
        "G-4",
        "other_calls_recorded",
        "Are calls recorded that the notice does not cover: internal ones, ordinary outbound ones, those of customers?",
        "No is safe. Yes needs a notice that says so, and a capture rule for each kind.",
        Place("setup", "other_calls_recorded"),
        _switch,
        lambda settings: settings.setup.other_calls_recorded,
    ),
    Question(
        "G-5",
        "contact",
        "Where do people object, complain, or ask what is kept of them? One line for letters.",
        "The notice names no lawful basis, no right to object and no way to complain; letters must.",
        Place("org", "contact"),
        _line,
        lambda settings: settings.org.contact,
    ),
    Question(
        "G-6",
        "four_eyes",
        "Must a second person approve each deletion?",
        'The notice says "subject to the request being authorised". Both clocks run meanwhile. Say no only where one '
        "person is all there is.",
        Place("privacy", "four_eyes"),
        _switch,
        lambda settings: settings.privacy.four_eyes,
    ),
    Question(
        "G-7",
        "processors",
        "Who else stores or handles recordings for you (cloud storage, transcription, an outsourced dialler)?",
        "The notice says nobody. A processor is a recipient, and a person who asks must be told. Commas between names.",
        Place("setup", "processors"),
        _names,
        lambda settings: settings.setup.processors,
    ),
    Question(
        "G-7",
        "outside_stores",
        "Which stores outside callrec keep anything about calls (PBX call detail, voicemail, mail)?",
        "callrec cannot erase there: somebody ticks each of them for each deletion. Commas between names.",
        Place("privacy", "outside_stores"),
        _names,
        lambda settings: settings.privacy.outside_stores,
    ),
)


def open_questions(settings: Settings) -> list[Question]:
    """Return the questions that nobody has answered yet."""
    return [question for question in QUESTIONS if question.gap not in settings.setup.answered]


def reminders(settings: Settings) -> Iterator[str]:
    """Return what the doctor reminds of: a default that nobody chose is still a decision."""
    for question in open_questions(settings):
        yield f"{question.gap} is open: {question.asks}"
    answers = settings.setup
    if "G-1" in answers.answered and not answers.notice_cites_current_law:
        yield "G-1: the privacy notice cites a law that is repealed; mend the notice"
    rules = (rule.name for rule in settings.capture_rule if rule.direction is CaptureDirection.OUTBOUND)
    if "G-4" in answers.answered and not answers.other_calls_recorded and (outbound := next(rules, None)):
        yield f"G-4: only what the notice covers is to be recorded; is capture rule {outbound} telemarketing alone?"


def find_questions(name: str) -> list[Question]:
    """Return the questions that a key of an answers file answers: one by its name, or the first of a gap by its id.

    Raises:
        OperatorError: with exit code 2, if there is none.
    """
    found = [question for question in QUESTIONS if name in {question.name, question.gap}]
    if not found:
        known = ", ".join(question.name for question in QUESTIONS)
        raise OperatorError(f"answers: found {name!r}, expected one of {known}", exit_code=ExitCode.USAGE)
    return found[:1]
