"""The doctor and the network: peers that answer, RTP that arrives, names, addresses and certificates."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from callrec.console import network_checks
from callrec.console.findings import Finding, Patient
from callrec.console.name_checks import locate, name_findings
from callrec.console.network_checks import (
    address_findings,
    certificate_findings,
    peer_findings,
    reach_findings,
    rtp_findings,
)
from callrec.settings import load
from callrec.signalling import TlsFiles
from callrec.signalling.certificates import Credentials
from tests.support.authority import Authority
from tests.support.name_server import HOST, NameServer

ADVERTISED = '[sip]\nadvertise = "198.51.100.7"\n[rtp]\nadvertise = "198.51.100.7"\n'


def patient(folder: Path, text: str) -> Patient:
    """Return a configuration to examine."""
    file = folder / "callrec.toml"
    file.write_text('[paths]\nstate = "state"\nrecordings = "recordings"\n' + text)
    return Patient(load(file, {}), file, None)


def pbx(*addresses: str, destination: str = "sip:127.0.0.1:5060") -> str:
    listed = ", ".join(f'"{address}"' for address in addresses)
    return f'[[peer]]\nname = "pbx"\naddresses = [{listed}]\nrole = "pbx"\n[[route]]\ndestination = "{destination}"\n'


def at(port: int) -> str:
    """Return a PBX on this machine to which calls go at a port."""
    return pbx("127.0.0.1", destination=f"sip:127.0.0.1:{port}")


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """Listen on a port and give everybody this answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.bind(("127.0.0.1", 0))
        far.settimeout(5.0)

        def run() -> None:
            _, source = far.recvfrom(65535)
            far.sendto(answer, source)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield far.getsockname()[1]
        thread.join(5)


def only(findings: Iterator[Finding]) -> Finding:
    (found,) = findings
    return found


def test_sip_11_a_peer_that_answers_options_is_well(tmp_path: Path) -> None:
    """It is asked where calls to it go; any SIP response says that it is there."""
    with answering(b"SIP/2.0 405 Method Not Allowed\r\n\r\n") as port:
        found = only(peer_findings(patient(tmp_path, at(port))))
    assert (found.state, found.check) == ("ok", "peers")
    assert f"pbx at 127.0.0.1:{port} answers OPTIONS" in found.found


def test_a_peer_that_does_not_answer_is_named_with_what_to_do(tmp_path: Path) -> None:
    """Nothing listens, nothing answers, or no SIP comes back: each is said."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        silent = only(peer_findings(patient(tmp_path, at(deaf.getsockname()[1]))))
    assert (silent.state, "no answer" in silent.found) == ("warning", True)
    assert silent.mend is not None
    assert silent.mend.startswith("ping ")
    closed = only(peer_findings(patient(tmp_path, at(9))))
    assert "nothing listens" in closed.found
    with answering(b"HTTP/1.1 400") as port:
        other = only(peer_findings(patient(tmp_path, at(port))))
    assert "no SIP" in other.found


def test_a_network_of_peers_is_not_scanned(tmp_path: Path) -> None:
    """A peer of which only a network is known is not asked: no packet to those who may be strangers."""
    assert list(peer_findings(patient(tmp_path, pbx("127.0.0.0/24")))) == []


@contextmanager
def accepting(answer: bytes, files: TlsFiles | None = None) -> Iterator[int]:
    """Listen on a port for one connection, over TLS where there are files, and give it this answer."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(5.0)

        def run() -> None:
            made, _ = listening.accept()
            with suppress(OSError), made:
                made.settimeout(5.0)
                if files is not None:
                    made = Credentials.load(files).serving[ssl.CERT_NONE].wrap_socket(made, server_side=True)
                if made.recv(65535).startswith(b"OPTIONS "):
                    made.sendall(answer)
                made.close()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(5)


OK = b"SIP/2.0 200 OK\r\n\r\n"


@pytest.mark.parametrize("named", ["uri", "peer"])
def test_sip_13_a_peer_is_asked_over_the_transport_of_its_calls(tmp_path: Path, named: str) -> None:
    """What the URI names, or the peer's own `transport`; UDP is not tried, for it may listen nowhere else."""
    with accepting(OK) as port:
        by_uri, by_peer = (";transport=tcp", "") if named == "uri" else ("", 'transport = "tcp"\n')
        text = pbx("127.0.0.1", destination=f"sip:127.0.0.1:{port}{by_uri}")
        found = only(peer_findings(patient(tmp_path, text.replace("[[route]]", f"{by_peer}[[route]]"))))
    assert found.state == "ok", found
    assert f"pbx at 127.0.0.1:{port} by TCP answers OPTIONS" in found.found


def test_a_connection_that_is_closed_is_told(tmp_path: Path) -> None:
    """A peer that does not know this machine closes at once."""
    with accepting(b"") as port:
        found = only(
            peer_findings(patient(tmp_path, pbx("127.0.0.1", destination=f"sip:127.0.0.1:{port};transport=tcp")))
        )
    assert "it closed the connection" in found.found
    gone = only(peer_findings(patient(tmp_path, pbx("127.0.0.1", destination=f"sip:127.0.0.1:{port};transport=tcp"))))
    assert "nothing listens there" in gone.found


@pytest.mark.parametrize(
    ("name", "said"),
    [("127.0.0.1", "by TLS answers OPTIONS"), ("other.example.net", "its certificate is for other.example.net")],
)
def test_sip_13_a_peer_of_tls_is_asked_over_tls_and_must_be_whom_it_is(tmp_path: Path, name: str, said: str) -> None:
    """Its certificate is verified as in a call (RFC 5922)."""
    files = Authority(tmp_path / "authority").issue(name)
    with accepting(OK, files) as port:
        listen = f'[sip]\nlisten = ["tls://127.0.0.1:5061"]\ntls_certificate_file = "{files.certificate}"\n'
        listen += f'tls_key_file = "{files.key}"\ntls_ca_file = "{files.authorities}"\n'
        text = at(port).replace("[[route]]", 'transport = "tls"\n[[route]]')
        found = only(peer_findings(patient(tmp_path, listen + text)))
    assert said in found.found


def test_a_certificate_of_an_unknown_authority_is_told(tmp_path: Path) -> None:
    """With the key that names the authorities."""
    files = Authority(tmp_path / "authority").issue("127.0.0.1")
    with accepting(OK, files) as port:
        found = only(peer_findings(patient(tmp_path, pbx("127.0.0.1", destination=f"sips:127.0.0.1:{port}"))))
    assert "sip.tls_ca_file" in found.found


def test_rtp_sent_to_ourselves_arrives(tmp_path: Path) -> None:
    """Fifty packets, counted; an address that is not ours is named with the command that shows ours."""
    well = only(rtp_findings(patient(tmp_path, pbx("127.0.0.1"))))
    assert well.state == "ok"
    assert well.found.startswith("50 of 50 packets arrived on 127.0.0.1")
    failed = only(rtp_findings(patient(tmp_path, '[rtp]\nbind = "192.0.2.99"\n' + pbx("127.0.0.1"))))
    assert (failed.state, failed.mend is not None and failed.mend.startswith("ip address")) == ("failed", True)


def test_a_name_that_is_not_found_fails(tmp_path: Path) -> None:
    """Calls depend on it; each is looked up as the recorder does it, SRV records included (RFC 3263)."""
    records = [
        "host-record=one.example.test,192.0.2.1",
        "srv-host=_sip._udp.pbx.example.test,one.example.test,5070,1,0",
    ]
    with NameServer(records, tmp_path / "dns") as server:
        asked = f'[sip]\ndns_servers = ["{HOST}:{server.port}"]\n'
        config = asked + pbx("127.0.0.1", "gone.example.test", destination="sip:pbx.example.test")
        examined = patient(tmp_path, config)
        gone, there = name_findings(examined, locate(examined.settings))
    assert (gone.state, gone.found.split()[0], bool(gone.mend)) == ("failed", "gone.example.test", True)
    assert there.state == "ok"
    assert there.found.startswith("pbx.example.test is udp 192.0.2.1:5070 (SRV), found after ")


@pytest.mark.parametrize("called", ["route", "emergency", "nobody"])
def test_sip_13_a_peer_that_is_known_by_its_name_is_asked_at_its_host(tmp_path: Path, called: str) -> None:
    """Its SRV record says where, whatever leads calls there."""
    peer = '[[peer]]\nname = "named"\naddresses = ["pbx.example.test"]\nrole = "pbx"\n'
    calls = {
        "route": '[[route]]\ndestination = "sip:pbx.example.test"\n',
        "emergency": '[emergency]\ndestination = "sip:pbx.example.test"\n',
        "nobody": "",
    }[called]
    with answering(b"SIP/2.0 200 OK\r\n\r\n") as port:
        records = [
            "host-record=one.example.test,127.0.0.1",
            f"srv-host=_sip._udp.pbx.example.test,one.example.test,{port}",
        ]
        with NameServer(records, tmp_path / "dns") as server:
            asked = f'[sip]\ndns_servers = ["{HOST}:{server.port}"]\n'
            name, reached = reach_findings(patient(tmp_path, asked + peer + calls))
    assert (name.check, name.state) == ("names", "ok")
    assert reached.found.startswith(f"named at 127.0.0.1:{port} answers OPTIONS"), reached


@pytest.mark.parametrize(
    ("more", "state"),
    [("", "warning"), ('[sip]\nadvertise = "198.51.100.7"\n[rtp]\nadvertise = "198.51.100.7"\n', "ok")],
)
def test_sip_13_a_private_address_is_not_told_to_a_public_peer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str, state: str
) -> None:
    """Behind NAT the public address must be configured, in SIP and in SDP."""
    monkeypatch.setattr(network_checks, "route_local", lambda _: "10.0.0.5")
    found = only(address_findings(patient(tmp_path, more + pbx("9.9.9.9"))))
    assert found.state == state
    assert ("behind NAT" in found.found) == (state == "warning")


@pytest.mark.parametrize(("days", "state"), [(-1, "failed"), (10, "warning"), (90, "ok")])
def test_a_certificate_that_ends_is_told_in_time(tmp_path: Path, days: int, state: str) -> None:
    """Three weeks before, and when it is too late; the command that shows its dates stands beside it."""
    certificate, key = make_certificate(tmp_path, days)
    tls = f'[sip]\nlisten = ["tls://127.0.0.1:5071"]\ntls_certificate_file = "{certificate}"\ntls_key_file = "{key}"\n'
    found = only(certificate_findings(patient(tmp_path, tls)))
    assert found.state == state
    assert (found.mend is None) == (state == "ok")
    certificate.unlink()
    assert only(certificate_findings(patient(tmp_path, tls))).state == "failed"


def make_certificate(folder: Path, days: int) -> tuple[Path, Path]:
    """Return a self-signed certificate that ends in so many days, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "callrec.test")])
    end = datetime.now(UTC) + timedelta(days=days)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(end - timedelta(days=100))
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    form = serialization.PrivateFormat.PKCS8
    (folder / "certificate.pem").write_bytes(made.public_bytes(encoding))
    (folder / "key.pem").write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
    return folder / "certificate.pem", folder / "key.pem"
