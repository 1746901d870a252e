"""Scenarios of SIPp put together from steps, for callers that only try: INVITE, its final response, ACK."""

from __future__ import annotations

from pathlib import Path

from demonstration.telephony.messages import Address
from tests.support.sipp import Sipp, SippRun

_INVITE = """
  <send retrans="500"><![CDATA[
      INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      Max-Forwards: 70
      From: <sip:CALLER@[local_ip]>;tag=[pid]
      To: <sip:[service]@[remote_ip]>
      Call-ID: [call_id]
      CSeq: NUMBER INVITE
      Contact: <sip:[local_ip]:[local_port]>
AUTHENTICATION      Content-Type: application/sdp
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
_ACK = """
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


def attempt(caller: str, status: str, *, number: int = 1, authentication: str = "", recv: str = "") -> str:
    """Return an INVITE, the final response that must come, and the ACK.

    Args:
        caller: the number in From.
        status: of the final response.
        number: of CSeq.
        authentication: SIPp's own word for its answer to a challenge.
        recv: further attributes of the `recv` of the final response.
    """
    shown = f"      {authentication}\n" if authentication else ""
    text = f'{_INVITE}  <recv response="{status}"{recv}/>{_ACK}'
    return text.replace("AUTHENTICATION", shown).replace("CALLER", caller).replace("NUMBER", str(number))


def play(target: Address, folder: Path, source: str, service: str, *steps: str) -> None:
    """Let SIPp go through steps, as a caller from an address to a number; it must find what they expect."""
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="a caller">{"".join(steps)}</scenario>\n'
    (folder / "scenario.xml").write_text(text)
    run = SippRun("scenario", source, service=service, folder=folder, timeout_s=20)
    sipp = Sipp(run, folder / "sipp", target)
    with sipp.start():
        sipp.finish()
