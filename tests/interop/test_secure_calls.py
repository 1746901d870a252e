"""SIP-13, RTP-9: baresip calls over UDP, TCP and TLS, with SRTP on one leg, the other, or both."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile  # type: ignore[import-untyped]

from callrec.signalling import TlsFiles
from demonstration.telephony.messages import Address
from tests.support.authority import Authority
from tests.support.baresip import Baresip, Set
from tests.support.ports import free_port
from tests.support.processes import wait_until
from tests.support.recorder import DDI, PBX, Plan, Recorder
from tests.support.sounds import level_at

pytestmark = pytest.mark.peer

STRICT = "strict.example.net"
TCP_DDI = "02079460124"
CALLER_HERTZ, DESK_HERTZ = 440, 1000
CALL_S = 6
PCMA = "PCMA/8000/1"
SECURE_PHONE = "module srtp.so\nsip_certificate {pem}\nsip_cafile {ca}\n"


class SecureSwitchboard(Recorder):
    """An installation that speaks TLS too; trunk and PBX may have SRTP, one trunk must; one PBX is called by TLS."""

    def write_configuration(self, **changes: Any) -> None:
        super().write_configuration(**changes)
        self.authority = Authority(self.directory / "authority")
        files = self.authority.issue("127.0.0.1", "rec.example.net", file="recorder")
        self.tls_port = free_port()
        text = self.configuration.read_text()
        text = text.replace(
            "\nmax_calls =",
            f'\ntls_certificate_file = "{files.certificate}"\ntls_key_file = "{files.key}"\n'
            f'tls_ca_file = "{files.authorities}"\nmax_calls =',
        )
        text = text.replace("listen = [", f'listen = ["tls://127.0.0.1:{self.tls_port}", ')
        text = text.replace('role = "trunk"', 'role = "trunk"\nsrtp = "optional"\nmedia_addresses = ["127.0.0.1"]')
        text = text.replace('role = "pbx"', 'role = "pbx"\nsrtp = "optional"\nmedia_addresses = ["127.0.0.1"]')
        text += f'[[peer]]\nname = "strict"\naddresses = ["192.0.2.1"]\ntls_names = ["{STRICT}"]\nrole = "trunk"\n'
        text += 'srtp = "required"\n'
        text += 'media_addresses = ["127.0.0.1"]\n'
        # The route to it names no transport: that is the peer's own.
        text += f'[[peer]]\nname = "secure-pbx"\naddresses = ["{PBX}:{self.plan.pbx_port + 1}"]\nrole = "pbx"\n'
        text += 'transport = "tls"\nsrtp = "optional"\nmedia_addresses = ["127.0.0.1"]\n'
        self.configuration.write_text(text)


def routes(port: int) -> str:
    """Return where the two numbers lead: to the desk over TLS, and over TCP."""
    to = f'rule = "inbound"\ndestination = "sip:{PBX}'
    return (
        f'[[route]]\ncalled = "{TCP_DDI}"\n{to}:{port};transport=tcp"\n[[route]]\ncalled = "{DDI}"\n{to}:{port + 1}"\n'
    )


@pytest.fixture(name="switchboard", scope="module")
def _switchboard() -> Iterator[SecureSwitchboard]:
    port = free_port(PBX)
    with SecureSwitchboard(Plan(pbx_port=port, first_routes=routes(port))) as switchboard:
        yield switchboard


def phone(switchboard: SecureSwitchboard, user: str, place: Address, parameters: str, name: str = "") -> Set:
    """Return a telephone with a certificate; over TLS it listens on the port above (baresip's way)."""
    host, port = place
    files: TlsFiles = switchboard.authority.issue(name or host, file=f"{user}-{port}")
    assert files.certificate is not None
    assert files.key is not None
    pem = files.certificate.with_suffix(".both.pem")
    pem.write_bytes(files.certificate.read_bytes() + files.key.read_bytes())
    hertz = CALLER_HERTZ if user == "caller" else DESK_HERTZ
    more = SECURE_PHONE.format(pem=pem, ca=files.authorities)
    return Set(user, (host, port), hertz, PCMA, more=more, parameters=parameters)


def target(switchboard: SecureSwitchboard, transport: str, number: str = DDI) -> str:
    port = switchboard.tls_port if transport == "tls" else switchboard.sip[1]
    return f"sip:{number}@127.0.0.1:{port};transport={transport}"


def check_sides(switchboard: SecureSwitchboard, item: dict[str, Any], place: Path) -> None:
    """Check that the caller sounds left, the desk right, and neither on the other side."""
    path = place / "call.wav"
    switchboard.must("export", str(item["call_id"]), "--format", "wav", "--to", str(path))
    samples, rate = soundfile.read(str(path), dtype="int16", always_2d=True)
    middle = samples[len(samples) // 2 : len(samples) // 2 + rate]
    for channel, own, other in ((0, CALLER_HERTZ, DESK_HERTZ), (1, DESK_HERTZ, CALLER_HERTZ)):
        heard = level_at(np.asarray(middle[:, channel]), rate, own)
        assert heard > 2000, f"channel {channel}: {own} Hz has {heard:.0f}"
        assert level_at(np.asarray(middle[:, channel]), rate, other) < heard / 30


def newest(switchboard: SecureSwitchboard, count: int) -> dict[str, Any]:
    item = max(switchboard.wait_items(count), key=lambda each: each["started_at"])
    return dict(json.loads(switchboard.must("show", item["call_id"], "--json").out))


class Way(NamedTuple):
    """How a call comes and goes on; the protection of each leg as baresip names it."""

    number: str
    transport: str
    caller: str
    desk: str


@pytest.mark.parametrize(
    "way",
    [
        Way(DDI, "tls", ";mediaenc=srtp-mand", ";mediaenc=srtp"),
        Way(DDI, "udp", "", ";mediaenc=srtp"),
        Way(TCP_DDI, "tls", ";mediaenc=srtp", ""),
        Way(TCP_DDI, "tcp", "", ""),
    ],
    ids=["SRTP on both legs", "SRTP to the desk", "SRTP from the caller", "TCP in clear"],
)
def test_a_call_is_recorded_whatever_protects_its_legs(
    switchboard: SecureSwitchboard, tmp_path: Path, way: Way
) -> None:
    """Both hear each other and both are in the recording, each on its side; keys and SRTP are each leg's own."""
    before = len(switchboard.find())
    inside = phone(switchboard, way.number, (PBX, switchboard.plan.pbx_port), way.desk)
    outside = phone(switchboard, "caller", ("127.0.0.1", free_port()), f"{way.caller};transport={way.transport}")
    where = target(switchboard, way.transport, way.number)
    desk, caller = tmp_path / "desk", tmp_path / "caller"
    with Baresip(inside, desk) as answering, Baresip(outside, caller, where, CALL_S) as calling:
        calling.finish()
        said = f"{calling.program.output[-3000:]}\n{answering.program.output[-3000:]}\n{switchboard.tail()}"
        sent, received = calling.bit_rates
        assert sent > 10_000 < received, said
    assert "SRTP is Enabled" in calling.program.output or not way.caller, said
    suite = "is encrypted by AES_CM_128_HMAC_SHA1_80"
    assert (suite in switchboard.log.read_text()) or not (way.caller or way.desk), said
    assert "SRTP is Enabled" in answering.program.output or not way.desk, said
    item = newest(switchboard, before + 1)
    assert (item["outcome"], item["outcome_reason"]) == ("recorded", "complete"), said
    check_sides(switchboard, item, tmp_path)


def test_a_renewed_certificate_is_shown_after_sighup(switchboard: SecureSwitchboard) -> None:
    """Without a restart; a broken one changes nothing and is told in one line."""

    def serial() -> str:
        secured = ssl.create_default_context(cafile=switchboard.authority.file)
        plain = socket.create_connection(("127.0.0.1", switchboard.tls_port), 5)
        with plain, secured.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
            return str((connection.getpeercert() or {})["serialNumber"])

    def reload(expected: str) -> None:
        before = switchboard.log.read_text().count(expected)
        os.kill(switchboard.pid, signal.SIGHUP)
        wait_until(lambda: switchboard.log.read_text().count(expected) > before, expected, 10)

    first = serial()
    files = switchboard.authority.issue("127.0.0.1", "rec.example.net", file="recorder")
    reload("the configuration was reloaded")
    wait_until(lambda: serial() != first, "the renewed certificate is shown", 5)
    renewed = serial()
    assert files.certificate is not None
    whole = files.certificate.read_bytes()
    files.certificate.write_bytes(whole[:100])
    reload("the certificates were not reloaded, the old ones stay")
    assert serial() == renewed
    files.certificate.write_bytes(whole)


def test_no_key_is_stored_or_logged(switchboard: SecureSwitchboard) -> None:
    """After the calls above: no crypto line in a log, a file of the state or the recordings."""
    written = b"".join(
        path.read_bytes() for path in switchboard.directory.rglob("*") if path.is_file() and path.suffix != ".pem"
    )
    assert b"inline:" not in written
    assert b"a=crypto" not in written


@pytest.mark.parametrize(("mediaenc", "said"), [("", "488"), (";mediaenc=srtp-mand", "200")])
def test_a_plain_call_from_a_peer_that_must_encrypt_is_refused(
    switchboard: SecureSwitchboard, tmp_path: Path, mediaenc: str, said: str
) -> None:
    """srtp = required, the peer known by its certificate: 488 to RTP in clear, an answer to SRTP."""
    desk = phone(switchboard, DDI, (PBX, switchboard.plan.pbx_port), ";mediaenc=srtp")
    caller = phone(switchboard, "caller", ("127.0.0.1", free_port()), mediaenc + ";transport=tls", STRICT)
    where = target(switchboard, "tls")
    with Baresip(desk, tmp_path / "desk"), Baresip(caller, tmp_path / "caller", where, 4) as calling:
        calling.finish()
    shown = calling.program.output
    assert ("488 Not Acceptable Here" in shown) is (said == "488"), f"{shown[-3000:]}\n{switchboard.tail()}"
    assert ("Call established" in shown) is (said == "200"), f"{shown[-3000:]}\n{switchboard.tail()}"


def test_after_a_lost_media_worker_new_keys_are_offered(switchboard: SecureSwitchboard, tmp_path: Path) -> None:
    """The worker is killed in mid-call: re-INVITEs carry new keys, and it stays one recording with both voices.

    baresip 1.0 answers them, and goes on to open what it hears with the old key: that it does hear by the new one is
    shown in tests/media/test_srtp.py.
    """
    before = len(switchboard.find())
    inside = phone(switchboard, DDI, (PBX, switchboard.plan.pbx_port), ";mediaenc=srtp")
    outside = phone(switchboard, "caller", ("127.0.0.1", free_port()), ";mediaenc=srtp;transport=tls")
    desk, caller, where = tmp_path / "desk", tmp_path / "caller", target(switchboard, "tls")
    with Baresip(inside, desk) as answering, Baresip(outside, caller, where, 10) as calling:
        wait_until(lambda: "Call established" in answering.program.output, "they are connected", 10)
        worker = switchboard.status()["workers"][0]["pid"]
        os.kill(worker, signal.SIGKILL)
        calling.finish()
        said = f"{calling.program.output[-3000:]}\n{answering.program.output[-3000:]}\n{switchboard.tail()}"
    assert switchboard.log.read_text().count("new keys are offered") >= 2, said
    item = newest(switchboard, before + 1)
    assert item["outcome"] == "recorded", said
    check_sides(switchboard, item, tmp_path)
