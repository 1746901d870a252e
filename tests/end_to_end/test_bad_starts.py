"""Bad input at the start: one sentence that says what is wrong, the documented exit code, and nothing overwritten."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.recorder import Plan, Recorder


@pytest.fixture
def configured() -> Iterator[Recorder]:
    """Return an installation that has a configuration and nothing else."""
    recorder = Recorder(Plan())
    yield recorder
    recorder.close()


@pytest.fixture
def installation() -> Iterator[Recorder]:
    """Return an installation that was set up and not started; its first start makes the catalogue."""
    recorder = Recorder(Plan())
    yield recorder.set_up(afresh=True)
    recorder.close()


def start(recorder: Recorder) -> tuple[int, str]:
    """Start the recorder where it must not come up; return its exit code and what it said."""
    recorder.start(wait=False)
    return recorder.process.wait(15), recorder.process.output


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("max_calls = 500", "max_cals = 500", "max_cals"),
        ("max_calls = 500", 'max_calls = "many"', "max_calls"),
        ('ports = "', 'ports = "9', "ports"),
        ("workers = 1", "workers = -1", "workers"),
    ],
)
def test_a_wrong_configuration_names_file_line_and_key(configured: Recorder, old: str, new: str, words: str) -> None:
    """Unknown key, wrong type, impossible value: exit 78 and one line with file, line, key and what was expected."""
    text = configured.configuration.read_text()
    changed = text.replace(old, new, 1)
    line = next(number for number, row in enumerate(changed.splitlines(), 1) if new in row)
    configured.configuration.write_text(changed)
    code, said = start(configured)
    assert code == 78
    (sentence,) = [row for row in said.splitlines() if row.strip()]
    assert f"{configured.configuration}:{line}" in sentence
    assert words in sentence
    assert "Traceback" not in said


def test_a_certificate_that_is_not_there_is_named(installation: Recorder) -> None:
    """SIP-13: exit 78 and the file, not a recorder that cannot be called over TLS."""
    text = installation.configuration.read_text()
    keys = 'tls_certificate_file = "./gone.pem"\ntls_key_file = "./gone.key"\n'
    text = text.replace("listen = [", f'{keys}listen = ["tls://127.0.0.1:{installation.sip[1] + 1}", ', 1)
    installation.configuration.write_text(text)
    code, said = start(installation)
    assert code == 78
    assert "tls_certificate_file" in said
    assert "gone.pem" in said
    assert "Traceback" not in said


def test_a_second_recorder_on_the_same_state_stays_out(installation: Recorder) -> None:
    """Exit 75, one sentence, and the first one goes on."""
    installation.start()
    second = Recorder(Plan())
    try:
        text = second.configuration.read_text().replace('state = "state"', f'state = "{installation.state}"')
        second.configuration.write_text(
            text.replace(str(second.directory / "secrets"), str(installation.directory / "secrets"))
        )
        code, said = start(second)
        assert code == 75
        assert "Traceback" not in said
        assert installation.wait_ready() < 5
    finally:
        second.close()


def test_a_taken_port_is_a_wrong_configuration(installation: Recorder) -> None:
    """Sockets that cannot be had end the start with 78."""
    installation.start()
    second = Recorder(Plan())
    try:
        second.set_up()
        text = second.configuration.read_text().replace(f":{second.sip[1]}", f":{installation.sip[1]}")
        second.configuration.write_text(text)
        code, said = start(second)
        assert code == 78
        assert str(installation.sip[1]) in said
        assert "Traceback" not in said
    finally:
        second.close()


def test_a_new_key_is_never_made_over_an_old_store(installation: Recorder) -> None:
    """`keys init` refuses where keys or a store exist, and changes nothing."""
    key = installation.directory / "secrets" / "master-key"
    before = key.read_bytes()
    assert installation.run("keys", "init", "--yes").code != 0
    assert key.read_bytes() == before
    key.rename(key.with_suffix(".away"))
    assert installation.run("keys", "init", "--yes").code != 0
    assert not key.exists()


def test_a_wrong_key_records_nothing_and_says_so(installation: Recorder) -> None:
    """With another installation's master key the recorder runs, `status` exits 1 with keys_unavailable."""
    other = Recorder(Plan()).set_up(afresh=True)
    key = installation.directory / "secrets" / "master-key"
    key.chmod(0o600)
    key.write_bytes((other.directory / "secrets" / "master-key").read_bytes())
    other.close()
    installation.start()
    status = installation.run("status", "--json")
    assert status.code == 1
    assert status.json["recording"] is False
    assert "keys_unavailable" in [problem["code"] for problem in status.json["problems"]]


def test_a_notice_that_is_no_audio_is_refused(installation: Recorder, tmp_path: Path) -> None:
    """`notice import` of something that is no audio exits 1 with one sentence and stores nothing."""
    text = tmp_path / "notice.wav"
    text.write_text("this is a letter")
    before = installation.must("notice", "list", "--json").out
    outcome = installation.run("notice", "import", str(text), "--id", "letter", "--text", "Hello.")
    assert outcome.code == 1
    assert "Traceback" not in outcome.err
    assert installation.must("notice", "list", "--json").out == before


def test_the_command_says_when_nobody_is_there(configured: Recorder) -> None:
    """Without a running recorder `find` exits 69."""
    assert configured.run("find", "--json").code == 69
