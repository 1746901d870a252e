"""SIPp as a PBX that has to show its password, and as one that calls 999 without (SIP-11, FAIL-1)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.recorder import Plan, Recorder
from tests.support.sipp_steps import attempt, play

pytestmark = pytest.mark.peer

CALLER_HOST, CALLER, PASSWORD = "127.0.0.4", "02079460812", "a shared secret"
PEER = f"""
[[peer]]
name = "desk"
addresses = ["{CALLER_HOST}"]
role = "pbx"
challenge = true
username = "desk"
password_file = "{{file}}"
[[route]]
from = "desk"
destination = "sip:127.0.0.2:{{port}}"
"""


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorder]:
    """Return a recorder that challenges SIPp and sends its calls to a port where nobody is."""
    file = tmp_path_factory.mktemp("secret") / "password"
    file.write_text(PASSWORD)
    with Recorder(Plan(first_routes=PEER.format(file=file, port=free_port("127.0.0.2")))) as running:
        yield running


@pytest.mark.parametrize(("password", "status"), [(PASSWORD, "503"), ("wrong", "401")])
def test_sip_11_only_the_right_password_gets_beyond_us(
    recorder: Recorder, tmp_path: Path, password: str, status: str
) -> None:
    """With it the call goes on, to a PBX that is not there (503); without it there is another challenge."""
    shown = f'[authentication username="desk" password="{password}"]'
    challenged = attempt(CALLER, "401", recv=' auth="true"')
    again = attempt(CALLER, status, number=2, authentication=shown)
    play(recorder.sip, tmp_path, CALLER_HOST, "02079460813", challenged, again)
    assert PASSWORD not in recorder.log.read_text()


def test_fail_1_an_emergency_call_is_not_asked_for_a_password(recorder: Recorder, tmp_path: Path) -> None:
    """999 goes on at once."""
    play(recorder.sip, tmp_path, CALLER_HOST, "999", attempt(CALLER, "503"))
