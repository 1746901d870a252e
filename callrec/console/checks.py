"""What the doctor looks at. Whatever is not well ends in the command that mends it."""

from __future__ import annotations

import os
import resource
import shutil
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from callrec.clock import kept_by_time_server
from callrec.console.backup_checks import backup_findings
from callrec.console.findings import Finding, Patient, State, Status
from callrec.console.keyring import CATALOGUE, KEYRING, open_keyring
from callrec.console.network_checks import NETWORK_CHECKS
from callrec.console.registration_checks import registration_findings, registration_problem
from callrec.errors import CallrecError
from callrec.settings import Transport

if TYPE_CHECKING:
    from callrec.settings import Listen, Settings

_BROKER_PATIENCE_S = 3.0
_DESCRIPTORS_A_CALL = 8
"""Two RTP and two RTCP sockets, each with a duplicate in the recorder, and a part file."""


def examine(settings: Settings, config: Path, status: Status) -> list[Finding]:
    """Return everything that was looked at."""
    patient = Patient(settings, config, status)
    return [finding for check in CHECKS for finding in check(patient)]


def _configuration(patient: Patient) -> Iterator[Finding]:
    settings = patient.settings
    yield Finding("configuration", "ok", f"{patient.config} is valid")
    if not any(route.rule for route in settings.route):
        found = "no [[route]] has a capture rule: every call passes, none is recorded"
        yield Finding("routes", "warning", found, f"$EDITOR {patient.config}   # [[route]] rule = …")


def _keys(patient: Patient) -> Iterator[Finding]:
    settings = patient.settings
    key, keyring = settings.keys.master_key_file, settings.paths.state / KEYRING
    command = f"callrec --config {patient.config} keys"
    try:
        open_keyring(settings).close()
    except CallrecError as error:
        if _recorder_has_keys(patient.status):
            # A systemd credential is seen by the service alone.
            yield Finding(
                "keys", "ok", f"the running recorder has opened {keyring}; its master key is not seen from here"
            )
            return
        fresh = not keyring.exists() and not (settings.paths.state / CATALOGUE).exists()
        mend = f"{command} init" if fresh else f"cp BACKUP-OF-MASTER-KEY {key} && {command} check"
        yield Finding("keys", "failed", str(error), mend)
    else:
        yield Finding("keys", "ok", f"{key} opens {keyring}")


def _recorder_has_keys(status: Status) -> bool:
    problems = () if status is None else status.get("problems") or ()
    return status is not None and all(problem["code"] != "keys_unavailable" for problem in problems)


def _folders(patient: Patient) -> Iterator[Finding]:
    paths, privacy = patient.settings.paths, patient.settings.privacy
    for name, folder in (
        ("state", paths.state),
        ("recordings", paths.recordings),
        ("ledger copy", privacy.ledger_copy.parent),
    ):
        if not folder.is_dir():
            mend = f"install -d -m 0700 -o $(id -un) {folder}"
            yield Finding(name, "failed", f"{folder} is not there", mend)
        elif not os.access(folder, os.W_OK | os.X_OK):
            yield Finding(name, "failed", f"{folder} is not writable for this user", f"chown $(id -un) {folder}")
        else:
            yield Finding(name, "ok", f"{folder} is writable")


def _space(patient: Patient) -> Iterator[Finding]:
    folder, least = patient.settings.paths.recordings, patient.settings.limits.min_free
    if not folder.is_dir():
        return
    free = shutil.disk_usage(folder).free
    found = f"{free / 2**30:.1f} GiB free at {folder}, [limits] min_free = {least}"
    if free < int(least):
        yield Finding("space", "failed", f"{found}: nothing is recorded", f"df -h {folder}   # free some, or move it")
    else:
        yield Finding("space", "ok", found)


def _notices(patient: Patient) -> Iterator[Finding]:
    from callrec.notice import NoticeLibrary  # noqa: PLC0415  only the doctor's patients have notices

    library = NoticeLibrary.of_state(patient.settings.paths.state)
    for notice in sorted({rule.notice for rule in patient.settings.capture_rule}):
        try:
            asset = library.find(notice)
        except CallrecError as error:
            mend = f"callrec --config {patient.config} notice import FILE --id {notice} --text TEXT"
            yield Finding("notice", "failed", str(error), mend)
        else:
            yield Finding("notice", "ok", f"{notice} version {asset.version}, {asset.duration_ms / 1000:.1f} s")


def _sip_ports(patient: Patient) -> Iterator[Finding]:
    if patient.status is not None:
        yield Finding("sip ports", "ok", "held by the running recorder")
        return
    for place in patient.settings.sip.listen:
        error = _why_not_bindable(place)
        if error is None:
            yield Finding("sip ports", "ok", f"{place} can be bound")
        else:
            mend = f"ss -lnp 'sport = :{place.port}'   # who holds it? or change [sip] listen"
            yield Finding("sip ports", "failed", f"{place} cannot be bound ({error})", mend)


def _why_not_bindable(place: Listen) -> str | None:
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    kind = socket.SOCK_DGRAM if place.transport is Transport.UDP else socket.SOCK_STREAM
    with socket.socket(family, kind) as trial:
        if kind is socket.SOCK_STREAM:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((place.host, place.port))
        except OSError as error:
            return error.strerror
    return None


def _rtp_ports(patient: Patient) -> Iterator[Finding]:
    ports, most = patient.settings.rtp.ports, patient.settings.sip.max_calls
    room = len(ports) // 4
    found = f"{len(ports)} RTP ports are room for {room} calls, [sip] max_calls = {most}"
    if room < most:
        yield Finding("rtp ports", "warning", found, f"$EDITOR {patient.config}   # widen [rtp] ports")
    else:
        yield Finding("rtp ports", "ok", found)


def _descriptors(patient: Patient) -> Iterator[Finding]:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 256 + _DESCRIPTORS_A_CALL * patient.settings.sip.max_calls
    found = f"{hard} open files are allowed, {needed} are needed for [sip] max_calls"
    if patient.status is None and hard != resource.RLIM_INFINITY and hard < needed:
        yield Finding("open files", "warning", found, f"ulimit -n {needed}   # systemd: LimitNOFILE={needed}")
    else:
        yield Finding("open files", "ok", found)


def _broker(patient: Patient) -> Iterator[Finding]:
    mqtt = patient.settings.mqtt
    if mqtt is None or mqtt.url is None:
        yield Finding("broker", "ok", "none is set: events stay in the outbox")
        return
    try:
        socket.create_connection((mqtt.url.host, mqtt.url.port), timeout=_BROKER_PATIENCE_S).close()
    except OSError as error:
        mend = "systemctl start mosquitto   # or change [mqtt] url"
        yield Finding("broker", "failed", f"{mqtt.url} does not answer ({error.strerror or error})", mend)
    else:
        yield Finding("broker", "ok", f"{mqtt.url} answers")


def _clock(_patient: Patient) -> Iterator[Finding]:
    now = datetime.now(UTC)
    if now.year < 2024:
        found = f"it is {now:%Y-%m-%d}, which has long passed: dates of deletion would be wrong"
        yield Finding("clock", "failed", found, "timedatectl set-ntp true")
    elif not kept_by_time_server():
        found = "the kernel knows of no time server that keeps it"
        yield Finding("clock", "warning", found, "timedatectl set-ntp true   # or install chrony")
    else:
        yield Finding("clock", "ok", "kept by a time server")


def _recorder(patient: Patient) -> Iterator[Finding]:
    if patient.status is None:
        found = f"none answers on {patient.settings.api.socket}"
        yield Finding("recorder", "warning", found, "systemctl start callrec   # or callrec run")
        return
    problems = patient.status.get("problems") or ()
    told = {registration_problem(patient, peer.name) for peer in patient.settings.peer}  # each with its own command
    for problem in problems:
        if problem["text"] in told:
            continue
        found = f"{problem['code']}: {problem['text']}"
        yield Finding("recorder", "failed", found, f"callrec --config {patient.config} status")
    if not problems:
        yield Finding("recorder", "ok", f"runs as process {patient.status.get('pid')}, without a problem")


def _setup(patient: Patient) -> Iterator[Finding]:
    from callrec.console.setup_questions import reminders  # noqa: PLC0415  only setup and the doctor need them

    found = list(reminders(patient.settings))
    for text in found:
        yield Finding("setup", "warning", text, f"callrec --config {patient.config} setup")
    if not found:
        yield Finding("setup", "ok", "all that the privacy notice leaves open is decided")


def _reviews(patient: Patient) -> Iterator[Finding]:
    """Remind of holds and restrictions whose review is due, so that none lasts by being forgotten (LAW-52)."""
    for review in (patient.status or {}).get("reviews") or ():
        command = "restriction" if review["kind"] == "restricted" else "hold"
        found = f"{command} {review['id'][:8]} is to be looked at by {review['review_on']} ({review['level']})"
        state: State = "failed" if review["level"] == "critical" else "warning"
        yield Finding("reviews", state, found, f"callrec {command} release {review['id'][:8]}   # or place it anew")


CHECKS: tuple[Callable[[Patient], Iterator[Finding]], ...] = (
    _configuration,
    _keys,
    _folders,
    _space,
    _notices,
    _sip_ports,
    _rtp_ports,
    _descriptors,
    *NETWORK_CHECKS,
    registration_findings,
    _broker,
    _clock,
    backup_findings,
    _reviews,
    _setup,
    _recorder,
)
