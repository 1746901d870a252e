"""`callrec setup`."""

from __future__ import annotations

import os
import shutil
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from callrec.console.options import Command
from callrec.console.output import print_document
from callrec.console.session import Session, say, with_session
from callrec.errors import ConfigurationError, ExitCode, OperatorError
from callrec.settings import EnvironmentOrigin, FileOrigin, as_toml, load
from callrec.settings.editing import Setting, with_key, with_row, with_value
from callrec.vault.atomic_file import atomic_file

if TYPE_CHECKING:
    from callrec.console.setup_questions import Place, Question
    from callrec.settings import Origin, Settings

_LATER = "later"

Answers = dict[str, str]
"""What is written, as TOML, by the name of its question."""


@click.command(cls=Command)
@click.option(
    "--answers", metavar="FILE", type=click.Path(path_type=Path), help="A TOML file with the answers, for programs."
)
@click.option("--again", is_flag=True, help="Ask also what was answered before.")
@with_session
def setup(session: Session, answers: Path | None, *, again: bool) -> None:
    """Ask what a privacy notice leaves open, and write the answers into the configuration.

    Without --answers a person is asked. "later" leaves a question open; callrec doctor reminds of it.
    """
    from callrec.console.setup_questions import QUESTIONS, open_questions  # noqa: PLC0415  with the settings

    if answers is not None:
        given = _read_answers(answers)
    else:
        given = _ask(session, QUESTIONS if again else open_questions(session.settings))
    changed = _write(session, given)
    after = load(session.config, os.environ)
    left = [question.gap for question in open_questions(after)]
    document = {
        "answered": list(after.setup.answered),
        "open": list(dict.fromkeys(left)),
        "written": [str(path) for path in changed],
    }
    print_document(document, session.output, lambda: _lines(document))


def _read_answers(path: Path) -> Answers:
    from callrec.console.setup_questions import find_questions  # noqa: PLC0415  with the settings

    try:
        tables = tomllib.loads(path.read_text())
    except OSError as error:
        message = f"{path}: found {error.strerror}, expected a TOML file with answers"
        raise OperatorError(message, exit_code=ExitCode.USAGE) from None
    except ValueError as error:
        raise OperatorError(f"{path}: found no TOML ({error})", exit_code=ExitCode.USAGE) from None
    found = [(question, value) for name, value in tables.items() for question in find_questions(name)]
    return {question.name: question.answer(value) for question, value in found}


def _ask(session: Session, questions: Sequence[Question]) -> Answers:
    if not questions:
        return {}
    if not session.at_terminal:
        names = ", ".join(dict.fromkeys(question.gap for question in questions))
        message = f"{names} are open and nobody can be asked; give the answers with --answers FILE (docs/commands.md)"
        raise OperatorError(message, exit_code=ExitCode.USAGE)
    say(f'Enter takes what stands in brackets; "{_LATER}" leaves a question open.')
    answers: Answers = {}
    for question in questions:
        say(f"\n{question.gap}  {question.why}")
        answer = _ask_one(question, _shown(question.now(session.settings)))
        if answer is not None:
            answers[question.name] = answer
    return answers


def _ask_one(question: Question, shown: str) -> str | None:
    while True:
        text = click.prompt(question.asks, default=shown, err=True).strip()
        if text.lower() == _LATER:
            return None
        try:
            return question.answer(text)
        except OperatorError as error:
            say(str(error))


def _shown(value: object) -> str:
    """Return what holds today as a person types it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return str(value) or _LATER


# Writing


def _write(session: Session, answers: Answers) -> list[Path]:
    """Write answers where their keys stand, or into the configuration file; return the files that changed.

    Raises:
        ConfigurationError: if a value stands where it cannot be changed; then nothing is written.
    """
    if not answers:
        return []
    texts = _edited(session.config.absolute(), session.settings, answers)
    _try_out(session.config.absolute(), texts)
    for path, text in texts.items():
        _replace(path, text)
    return list(texts)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A setting that is to be written, where, and where it stands now."""

    place: Place
    setting: Setting
    origin: Origin | None = None


def _edited(config: Path, settings: Settings, answers: Answers) -> dict[Path, str]:
    """Return the new text of every file that changes: lines that are there first, so that line numbers stay true."""
    texts: dict[Path, str] = {}
    missing: list[_Wanted] = []
    for wanted in _wanted(settings, answers):
        match wanted.origin:
            case FileOrigin(path, line):
                texts[path] = with_value(texts.get(path) or path.read_text(), line, wanted.setting, path=path)
            case EnvironmentOrigin(name):
                raise ConfigurationError(f"environment: {name}: found a value there, expected it in {config}")
            case _:
                missing.append(wanted)
    for wanted in missing:
        text = texts.get(config) or config.read_text()
        texts[config] = _with_missing(text, wanted.place, wanted.setting, config)
    return texts


def _with_missing(text: str, place: Place, setting: Setting, config: Path) -> str:
    if not place.class_name:
        return with_key(text, place.section, setting, path=config)
    pairs = {"name": as_toml(place.class_name), "keep": setting.value, "from": as_toml(place.class_from)}
    return with_row(text, place.section, pairs, setting.comment)


def _wanted(settings: Settings, answers: Answers) -> Iterator[_Wanted]:
    from callrec.console.setup_questions import QUESTIONS, Place  # noqa: PLC0415  with the settings

    given = [question for question in QUESTIONS if question.name in answers]
    for question in given:
        # The day on this machine: a comment for people, and nothing is counted from it.
        comment = f"{question.gap}, answered {date.today():%Y-%m-%d}"  # noqa: DTZ011
        setting = Setting(question.place.key, answers[question.name], comment)
        yield _Wanted(question.place, setting, _origin(settings, question.place))
    gaps = tuple(sorted({*settings.setup.answered, *(question.gap for question in given)}))
    answered = Setting("answered", as_toml(gaps), "of the questions G-1 to G-7")
    where = Place("setup", "answered")
    yield _Wanted(where, answered, _origin(settings, where))


def _origin(settings: Settings, place: Place) -> Origin | None:
    """Return where a key stands now, None where it does not."""
    if not place.class_name:
        return settings.origins.known.get((place.section, place.key))
    names = [row.name for row in settings.retention_class]
    if place.class_name not in names:
        return None
    return settings.origins.known.get((place.section, names.index(place.class_name), place.key))


def _try_out(config: Path, texts: dict[Path, str]) -> None:
    """Load the configuration as it would be; raises ConfigurationError where it could not be used."""
    with tempfile.TemporaryDirectory(prefix="callrec-setup-") as name:
        trial = Path(name) / config.name
        (Path(name) / "conf.d").mkdir()
        trial.write_text(texts.get(config) or config.read_text())
        for part in (config.parent / "conf.d").glob("*.toml"):
            (Path(name) / "conf.d" / part.name).write_text(texts.get(part) or part.read_text())
        load(trial, os.environ)


def _replace(path: Path, text: str) -> None:
    """Put a text in a file's place, with the owner and mode it had."""
    try:
        before = path.stat()
        with atomic_file(path, mode=0o600) as fd, os.fdopen(os.dup(fd), "w", encoding="utf-8") as file:
            os.fchmod(fd, before.st_mode & 0o777)  # whatever the umask
            file.write(text)
        if os.geteuid() == 0:
            shutil.chown(path, before.st_uid, before.st_gid)
    except OSError as error:
        message = f"{path} cannot be written ({error.strerror}); run this as the user who may change it"
        raise OperatorError(message) from None


def _lines(document: dict[str, list[str]]) -> Iterator[str]:
    for path in document["written"]:
        yield f"Written: {path}"
    if document["written"]:
        yield "A running recorder takes it into use with: systemctl reload callrec"
    if document["open"]:
        yield f"Still open: {', '.join(document['open'])}; callrec setup asks again."
    else:
        yield "Every question is answered; callrec setup --again asks them anew."
