"""Kamailio as the registrar of a trunk that challenges everything, by SHA-256 and by MD5 (SIP-11)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.processes import Program, program, wait_until
from tests.support.recorder import TRUNK, Plan, Recorder
from tests.support.sipp_steps import attempt, play

pytestmark = pytest.mark.peer

REGISTRAR, PASSWORD = "127.0.0.3", "a shared secret"
CONFIGURATION = """
listen=udp:{host}:{port}
auto_aliases=no
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "xlog.so"
loadmodule "textops.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
modparam("auth", "algorithm", "{algorithm}")
modparam("registrar", "max_expires", 120)
request_route {{
    if (is_method("ACK")) exit;
    if (is_method("REGISTER")) {{
        if (!pv_www_authenticate("trunk", "{password}", "0")) {{ auth_challenge("trunk", "1"); exit; }}
        save("location");
        xlog("L_ERR", "registered $au for $hdr(Expires) s\\n");
        exit;
    }}
    if (is_method("INVITE")) {{
        if (!pv_proxy_authenticate("trunk", "{password}", "0")) {{ proxy_challenge("trunk", "1"); exit; }}
        xlog("L_ERR", "called by $au\\n");
        sl_send_reply("486", "Busy Here");
        exit;
    }}
    sl_send_reply("200", "OK");
}}
"""
PEER = f"""
[[peer]]
name = "registrar"
addresses = ["{REGISTRAR}"]
role = "trunk"
username = "callrec"
password_file = "{{file}}"
register = "sip:{REGISTRAR}:{{port}}"
[[route]]
from = "trunk"
called = "02079460811"
destination = "sip:{REGISTRAR}:{{port}}"
"""


@dataclass
class Trunk:
    """A Kamailio and a recorder that registers there."""

    kamailio: Program
    recorder: Recorder

    def says(self, text: str) -> None:
        """Wait until Kamailio has logged something."""
        wait_until(lambda: text in self.kamailio.output, f"Kamailio says {text!r}: {self.kamailio.output[-2000:]}", 10)


@pytest.fixture(params=["SHA-256", "MD5"])
def trunk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Trunk]:
    """Return a running pair; the password is right."""
    port, folder = free_port(REGISTRAR), tmp_path / "kamailio"
    folder.mkdir()
    file = folder / "kamailio.cfg"
    words = {"host": REGISTRAR, "port": port, "algorithm": request.param, "password": PASSWORD}
    file.write_text(CONFIGURATION.format(**words))
    password = tmp_path / "password"
    password.write_text(f"{PASSWORD}\n")
    command = [program("kamailio"), "-f", str(file), "-DD", "-E", "-Y", str(folder)]
    kamailio = Program(command, folder / "kamailio.log")
    try:
        with Recorder(Plan(first_routes=PEER.format(file=password, port=port))) as recorder:
            yield Trunk(kamailio, recorder)
    finally:
        kamailio.stop()


def test_sip_11_callrec_registers_calls_and_leaves_with_its_password(trunk: Trunk, tmp_path: Path) -> None:
    """RFC 3261 10.2 and 22: REGISTER and INVITE are challenged and answered; at the end the registration is undone."""
    trunk.says("registered callrec for 3600 s")
    assert trunk.recorder.status_now()["problems"] == []
    play(trunk.recorder.sip, tmp_path, TRUNK, "02079460811", attempt("07700900811", "486"))
    trunk.says("called by callrec")
    trunk.recorder.stop()
    trunk.says("registered callrec for 0 s")
    for kept in (trunk.recorder.log.read_text(), trunk.kamailio.output):
        assert PASSWORD not in kept
    assert "response=" not in trunk.recorder.log.read_text(), "no credentials in the log"
