"""`callrec setup`: what a privacy notice leaves open is asked, and written where a person would have written it."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from callrec.settings import load
from tests.console.commands import run, run_at_terminal
from tests.console.conftest import Desk

ROOT = Path(__file__).resolve().parents[2]
ANSWERS = """
notice_cites_current_law = true
keep_unmatched = "1y"
keep_after_relationship = "30d"
other_calls_recorded = false
contact = "privacy@bettercomms.example"
four_eyes = false
processors = ["Cloud Ltd"]
outside_stores = ["PBX call detail", "voicemail"]
"""
EVERY_GAP = tuple(f"G-{number}" for number in range(1, 8))


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """The shipped configuration, as somebody has copied it."""
    path = tmp_path / "callrec.toml"
    path.write_text((ROOT / "config" / "callrec.toml").read_text())
    return path


def answered(path: Path, text: str, *words: str) -> tuple[int, str]:
    answers = path.parent / "answers.toml"
    answers.write_text(text)
    ran = run("--config", path, "setup", "--answers", answers, *words)
    return ran.code, ran.out + ran.err


def test_answers_are_written_where_their_keys_stand_and_every_comment_stays(shipped: Path) -> None:
    """G-1 to G-7: each answer holds afterwards, and no line but its own has changed."""
    before = shipped.read_text().splitlines()
    shipped.chmod(0o640)
    code, said = answered(shipped, ANSWERS)
    assert (code, "Every question is answered" in said) == (0, True)
    settings = load(shipped, {})
    assert settings.setup.answered == EVERY_GAP
    assert settings.setup.notice_cites_current_law is True
    assert settings.setup.processors == ("Cloud Ltd",)
    assert settings.org.contact == "privacy@bettercomms.example"
    assert settings.privacy.four_eyes is False
    assert settings.privacy.outside_stores == ("PBX call detail", "voicemail")
    keeps = {row.name: (str(row.keep), row.from_.value) for row in settings.retention_class}
    assert keeps == {"unmatched": ("1y", "call"), "customer": ("30d", "relationship_end")}
    after = shipped.read_text().splitlines()
    changed = [line for line in before if line not in after]
    assert len(changed) == 7, changed
    assert all(line.partition("#")[2] in shipped.read_text() for line in changed)
    assert "# G-3, answered 20" in shipped.read_text()
    assert shipped.stat().st_mode & 0o777 == 0o640


def test_an_answer_goes_into_the_piece_of_configuration_that_has_the_key(shipped: Path) -> None:
    """conf.d: the later layer counts, so that is where the answer must stand."""
    (shipped.parent / "conf.d").mkdir()
    piece = shipped.parent / "conf.d" / "privacy.toml"
    piece.write_text("[privacy]\nfour_eyes = true  # ours\n")
    assert answered(shipped, "four_eyes = false\n")[0] == 0
    assert tomllib.loads(piece.read_text()) == {"privacy": {"four_eyes": False}}
    assert "# ours" in piece.read_text()
    assert load(shipped, {}).privacy.four_eyes is False


def test_what_is_not_answered_stays_open(shipped: Path) -> None:
    """An answers file may answer some, by name or by gap; the others are told."""
    code, said = answered(shipped, '"G-2" = "6m"\n')
    assert (code, "Still open: G-1, G-3, G-4, G-5, G-6, G-7" in said) == (0, True)
    assert load(shipped, {}).setup.answered == ("G-2",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('keep_unmatched = "soon"', "a period"),
        ('keep_unmatched = "0d"', "above zero"),
        ('four_eyes = "perhaps"', "yes or no"),
        ('contact = " "', "one line"),
        ("speed = 1", "expected one of notice_cites_current_law"),
        ("= 1", "no TOML"),
    ],
)
def test_a_wrong_answer_changes_nothing(shipped: Path, text: str, expected: str) -> None:
    """Exit code 2 and one sentence; also the right answers of the same file are not written."""
    before = shipped.read_text()
    code, said = answered(shipped, f"processors = []\n{text}\n" if text[0] != "=" else text)
    assert (code, expected in said) == (2, True), said
    assert shipped.read_text() == before


def test_a_value_in_another_form_is_left_to_the_person_who_wrote_it(shipped: Path) -> None:
    """78 with the line: nothing is guessed about a value that spans lines, and nothing is written."""
    text = shipped.read_text().replace("processors = []  ", "processors = [\n]  ")
    shipped.write_text(text)
    code, said = answered(shipped, ANSWERS)
    assert code == 78
    assert "by hand" in said
    assert shipped.read_text() == text


def test_a_value_from_the_environment_cannot_be_answered_in_a_file(shipped: Path) -> None:
    """It would win over what was written."""
    answers = shipped.parent / "answers.toml"
    answers.write_text("four_eyes = false\n")
    environment = {"CALLREC_PRIVACY__FOUR_EYES": "true"}
    ran = run("--config", shipped, "setup", "--answers", answers, environment=environment)
    assert ran.code == 78
    assert "CALLREC_PRIVACY__FOUR_EYES" in ran.err


def test_a_person_is_asked_with_what_holds_as_the_default(desk: Desk) -> None:
    """Enter takes what stands there, `later` leaves a question open, a wrong answer is asked again."""
    typed = "yes\n\n0d\nlater\nprivacy@bettercomms.example\nmaybe\nyes\n\nvoicemail\n"
    ran = desk.run_at_terminal(typed, "setup")
    assert ran.code == 0, ran.out
    assert "expected yes or no" in ran.out
    assert "Still open: G-4" in ran.out
    settings = load(desk.config, os.environ)
    assert settings.setup.answered == ("G-1", "G-2", "G-3", "G-5", "G-6", "G-7")
    assert settings.org.contact == "privacy@bettercomms.example"
    assert settings.privacy.outside_stores == ("voicemail",)
    again = run_at_terminal("no\n", "--config", desk.config, "setup")
    assert "Every question is answered" in again.out


def test_without_a_terminal_the_answers_are_a_file(desk: Desk) -> None:
    """Exit code 2: nothing is guessed in silence."""
    before = desk.config.read_text()
    ran = desk.run("setup")
    assert ran.code == 2
    assert "--answers FILE" in ran.err
    assert desk.config.read_text() == before


def test_the_doctor_reminds_of_what_is_open(desk: Desk) -> None:
    """Each open question is a warning that ends in the command that asks it."""
    found = {item["found"]: item for item in desk.run("doctor", "--json").document["items"] if item["check"] == "setup"}
    assert len(found) == 8
    assert all(item["state"] == "warning" and "setup" in item["mend"] for item in found.values())
    answers = desk.folder / "answers.toml"
    answers.write_text(ANSWERS.replace("law = true", "law = false"))
    assert desk.run("setup", "--answers", answers).code == 0
    found = {item["found"]: item for item in desk.run("doctor", "--json").document["items"] if item["check"] == "setup"}
    assert len(found) == 1
    assert "G-1" in next(iter(found))
