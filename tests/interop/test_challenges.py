"""SIPp as a PBX that has to show its password, and as one that calls 999 without (SIP-11, FAIL-1)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.recorder import Plan, Recorder
from tests.support.sipp import Sipp, SippRun

pytestmark = pytest.mark.peer

CALLER_HOST, PASSWORD = "127.0.0.4", "a shared secret"
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
INVITE = """
  <send retrans="500"><![CDATA[
      INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      Max-Forwards: 70
      From: <sip:02079460812@[local_ip]>;tag=[pid]
      To: <sip:[service]@[remote_ip]>
      Call-ID: [call_id]
      CSeq: NUMBER INVITE
      Contact: <sip:[local_ip]:[local_port]>
      AUTHENTICATION
      Content-Type: application/sdp
      Content-Length: [len]

      v=0
      o=sipp 1 1 IN IP[local_ip_type] [local_ip]
      s=-
      c=IN IP[media_ip_type] [media_ip]
      t=0 0
      m=audio [media_port] RTP/AVP 8

  ]]></send>
  <recv response="100" optional="true"/>
"""
ACK = """
  <send><![CDATA[
      ACK sip:[service]@[remote_ip]:[remote_port] SIP/2.0
      [last_Via:]
      [last_From:]
      [last_To:]
      Call-ID: [call_id]
      CSeq: NUMBER ACK
      Content-Length: 0

  ]]></send>
"""


def scenario(*steps: str) -> str:
    """Return a SIPp scenario."""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="a PBX">{"".join(steps)}</scenario>\n'


def step(number: int, status: str, authentication: str = "", recv: str = "") -> str:
    """Return an INVITE, its final response and the ACK."""
    invite = INVITE.replace("      AUTHENTICATION\n", f"      {authentication}\n" if authentication else "")
    return f'{invite}  <recv response="{status}"{recv}/>{ACK}'.replace("NUMBER", str(number))


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorder]:
    """Return a recorder that challenges SIPp and sends its calls to a port where nobody is."""
    file = tmp_path_factory.mktemp("secret") / "password"
    file.write_text(PASSWORD)
    with Recorder(Plan(first_routes=PEER.format(file=file, port=free_port("127.0.0.2")))) as running:
        yield running


def play(recorder: Recorder, folder: Path, text: str, service: str) -> None:
    (folder / "scenario.xml").write_text(text)
    run = SippRun("scenario", CALLER_HOST, service=service, folder=folder, timeout_s=20)
    sipp = Sipp(run, folder / "sipp", recorder.sip)
    with sipp.start():
        sipp.finish()


@pytest.mark.parametrize(("password", "status"), [(PASSWORD, "503"), ("wrong", "401")])
def test_sip_11_only_the_right_password_gets_beyond_us(
    recorder: Recorder, tmp_path: Path, password: str, status: str
) -> None:
    """With it the call goes on, to a PBX that is not there (503); without it there is another challenge."""
    shown = f'[authentication username="desk" password="{password}"]'
    text = scenario(step(1, "401", recv=' auth="true"'), step(2, status, shown))
    play(recorder, tmp_path, text, "02079460813")
    assert PASSWORD not in recorder.log.read_text()


def test_fail_1_an_emergency_call_is_not_asked_for_a_password(recorder: Recorder, tmp_path: Path) -> None:
    """999 goes on at once."""
    play(recorder, tmp_path, scenario(step(1, "503")), "999")
