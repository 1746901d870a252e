"""Certificates of SIP over TLS: ours, and whom a far one names (RFC 5922)."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509

from callrec.errors import ExitCode, OperatorError
from callrec.sip.dialog import is_literal


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The files of `[sip] tls_…`; None is none, for the authorities those of the system."""

    certificate: Path | None = None
    key: Path | None = None
    authorities: Path | None = None


@dataclass(frozen=True, slots=True)
class Credentials:
    """What our side of a handshake is made of, read once; a connection that is up keeps what it began with."""

    serving: Mapping[ssl.VerifyMode, ssl.SSLContext]
    """By how much a certificate is asked of the one who connects."""
    calling: ssl.SSLContext

    @classmethod
    def load(cls, files: TlsFiles) -> Credentials:
        """Read certificate, key and authorities.

        Raises:
            OperatorError: exit 78 where one cannot be read, or key and certificate do not belong together.
        """
        serving = {mode: _serving(files, mode) for mode in ssl.VerifyMode}
        calling = _context(ssl.PROTOCOL_TLS_CLIENT, files)
        # The name is judged by the rules of SIP, which are not those of the web (RFC 5922 7.2): `is_named` does it.
        calling.check_hostname = False
        calling.verify_mode = ssl.CERT_REQUIRED
        return cls(serving, calling)


def _serving(files: TlsFiles, mode: ssl.VerifyMode) -> ssl.SSLContext:
    context = _context(ssl.PROTOCOL_TLS_SERVER, files)
    context.verify_mode = mode
    return context


def _context(protocol: int, files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    part, path = "tls_certificate_file", files.certificate
    try:
        if files.certificate is not None:
            context.load_cert_chain(files.certificate, files.key, password=_no_password)
        part, path = "tls_ca_file", files.authorities
        if path is not None:
            context.load_verify_locations(path)
        else:
            context.load_default_certs(
                ssl.Purpose.CLIENT_AUTH if protocol == ssl.PROTOCOL_TLS_SERVER else ssl.Purpose.SERVER_AUTH
            )
    except (OSError, ValueError) as error:  # SSLError is an OSError
        key = f" with tls_key_file {files.key}" if part == "tls_certificate_file" and files.key else ""
        raise OperatorError(
            f"sip.{part} {path}{key} cannot be used: {_reason(error)}; expected PEM files that belong together",
            exit_code=ExitCode.CONFIGURATION,
        ) from None
    return context


def _no_password() -> str:
    # Without this OpenSSL would ask at the terminal.
    raise ValueError("the key is protected by a password; expected one without, readable by callrec alone")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "it is no PEM file"
    return str(getattr(error, "strerror", None) or error)


def names_in(certificate: Mapping[str, Any] | None) -> frozenset[str]:
    """Return the SIP domains and addresses that a verified certificate names, as `getpeercert` tells it.

    By RFC 5922 7.1: the hosts of `sip:` URIs without a user, else the DNS names; IP addresses beside them. The common
    name is not looked at: what carries no subjectAltName names nobody.
    """
    alternatives = (certificate or {}).get("subjectAltName", ())
    uris, hosts, addresses = set(), set(), set()
    for kind, value in alternatives:
        if kind == "URI" and value.lower().startswith(("sip:", "sips:")) and "@" not in value:
            uris.add(_normal(value.partition(":")[2].partition(";")[0]))
        elif kind == "DNS":
            hosts.add(_normal(value))
        elif kind == "IP Address":
            addresses.add(_normal(value))
    return frozenset((uris or hosts) | addresses)


def is_named(names: frozenset[str], wanted: frozenset[str]) -> bool:
    """Whether a certificate that carries these names is one of those wanted; no wildcard counts (RFC 5922 7.2)."""
    return bool(names & {_normal(name) for name in wanted})


def _normal(name: str) -> str:
    name = name.lower().rstrip(".").strip("[]")
    if not is_literal(name):
        return name
    return str(ip_address(name))


def expires_at(path: Path) -> datetime:
    """Return when the first certificate of a PEM file ends to be valid, in UTC.

    Raises:
        OperatorError: where the file cannot be read or holds no certificate.
    """
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise OperatorError(f"sip.tls_certificate_file {path} cannot be read: {_reason(error)}") from None
    return certificate.not_valid_after_utc
