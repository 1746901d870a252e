"""What the doctor looks at of our registrations at trunks: `[[peer]] register` (SIP-11)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from callrec.console.findings import Finding, Patient
from callrec.sip.uri import Uri

if TYPE_CHECKING:
    from callrec.settings import Peer

_REFUSED = ("answered 401", "answered 403", "answered 407")
_NOT_REACHED = ("no answer", "no way", "could not be sent")


def registration_findings(patient: Patient) -> Iterator[Finding]:
    """Say of each registration whether a running recorder keeps it, and of each password whether it can be read."""
    for peer in patient.settings.peer:
        if not peer.register_at:
            continue
        unreadable = _unreadable_password(peer)
        if unreadable is not None:
            yield Finding("registration", "failed", f"peer {peer.name}: {unreadable}", _mend_password(peer))
        if patient.status is None:
            found = f"peer {peer.name}: not registered at {peer.register_at}, for no recorder runs"
            yield Finding("registration", "warning", found, "systemctl start callrec   # or callrec run")
        elif (problem := registration_problem(patient, peer.name)) is not None:
            yield Finding("registration", "failed", problem, _mend(patient, peer, problem))
        elif unreadable is None:
            found = f"peer {peer.name}: the running recorder tells of no fault at {peer.register_at}"
            yield Finding("registration", "ok", found)


def registration_problem(patient: Patient, name: str) -> str | None:
    """Return what the running recorder says of a registration that fails."""
    begins = f"peer {name}: our REGISTER "
    texts = (str(problem["text"]) for problem in (patient.status or {}).get("problems") or ())
    return next((text for text in texts if text.startswith(begins)), None)


def _unreadable_password(peer: Peer) -> str | None:
    if peer.password_file is None:
        return None
    try:
        with peer.password_file.open("rb") as file:
            first = file.readline(4096).strip()
    except PermissionError:
        return None  # a credential of the service is seen by the service alone
    except OSError as error:
        return f"password_file {peer.password_file} cannot be read ({error.strerror})"
    return None if first else f"password_file {peer.password_file} has nothing on its first line"


def _mend(patient: Patient, peer: Peer, problem: str) -> str:
    """Return the command that mends a registration that fails, by what its registrar said."""
    host, why = Uri.parse(peer.register_at).host, problem.partition(";")[0]
    if any(word in why for word in _NOT_REACHED):
        return f"ping -c 3 {host}   # does it run, and may this machine speak to it?"
    if peer.password_file is not None and any(word in why for word in _REFUSED):
        return _mend_password(peer)
    return f"$EDITOR {patient.config}   # [[peer]] {peer.name}: register, username, password_file, addresses"


def _mend_password(peer: Peer) -> str:
    return f"$EDITOR {peer.password_file} && systemctl reload callrec"
