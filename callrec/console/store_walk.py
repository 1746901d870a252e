"""The store read without a recorder: what the catalogue knows, verified by the same helper that a recorder uses."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from callrec.console.keyring import CATALOGUE, open_keyring
from callrec.errors import CallrecError, ExitCode, OperatorError

if TYPE_CHECKING:
    from callrec.catalogue.catalogue import Catalogue
    from callrec.catalogue.values import Recording
    from callrec.settings import Settings
    from callrec.vault.keyring import Keyring

VERIFY_JOB = "callrec.api.verify_job"
LOCK = "lock"
_PAGE = 500
_NO_RECORDINGS = frozenset({"README.md", ".gitignore"})
"""What a clone's own `recordings/` holds."""

Json = dict[str, Any]


def verify_store(settings: Settings) -> Iterator[Json]:
    """Give a line for each recording and each foreign file, as the recorder's API does.

    Raises:
        OperatorError: if a recorder holds the store (75), or there is none.
        IntegrityError: if the master key is not that of the store.
    """
    catalogue = settings.paths.state / CATALOGUE
    if not catalogue.exists():
        raise OperatorError(f"{catalogue}: found no catalogue; is [paths] state right? callrec config show")
    with _held(settings.paths.state):
        jobs, strays = asyncio.run(_read(settings))
        yield from _verified(jobs)
        for path in strays:
            found = "belongs to no recording; look where it comes from, then move it away"
            yield {"path": str(path), "state": "foreign", "found": found}


@contextmanager
def _held(state: Path) -> Iterator[None]:
    """Hold the lock of the state folder, where there is one, so that no recorder starts meanwhile."""
    path = state / LOCK
    if not path.exists():
        yield
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        message = f"a recorder holds {state} and does not answer on its socket; name that with --socket, or stop it"
        raise OperatorError(message, exit_code=ExitCode.BUSY) from None
    else:
        yield
    finally:
        os.close(descriptor)


async def _read(settings: Settings) -> tuple[list[Json], list[Path]]:
    from callrec.catalogue.catalogue import Catalogue  # noqa: PLC0415  a database that only this needs

    keyring = open_keyring(settings)
    try:
        catalogue = await Catalogue.open(settings.paths.state / CATALOGUE, keyring, strict=True)
        try:
            jobs = [job async for job in _jobs(catalogue, keyring, settings.paths.recordings)]
            return jobs, await _strays(catalogue, settings.paths.recordings)
        finally:
            await catalogue.close()
    finally:
        keyring.close()


async def _jobs(catalogue: Catalogue, keyring: Keyring, folder: Path) -> Any:
    after = ""
    while recordings := await catalogue.all_recordings(after, _PAGE):
        after = recordings[-1].recording_id
        keys = await keyring.load_many(one.audio_key_id for one in recordings if one.audio_key_id)
        for recording in recordings:
            if recording.parts and (key := keys.get(recording.audio_key_id or "")) is not None:
                yield _job(recording, key, folder)


def _job(recording: Recording, key: bytes, folder: Path) -> Json:
    parts = [{"path": str(folder / p.path), "segments": p.segments, "cut": p.cut} for p in recording.parts]
    names = {"call_id": recording.call_id, "recording_id": recording.recording_id}
    return {**names, "audio_key": key.hex(), "parts": parts}


async def _strays(catalogue: Catalogue, folder: Path) -> list[Path]:
    """Return files that no row names, under their final or their growing name."""
    files = await asyncio.to_thread(_files, folder)
    names = {path: {str(path.with_suffix(s).relative_to(folder)) for s in (".crec", ".partial")} for path in files}
    known = await catalogue.known_paths({name for both in names.values() for name in both})
    return [path for path, both in names.items() if path.suffix not in {".crec", ".partial"} or not both & known]


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in _NO_RECORDINGS]


def _verified(jobs: Sequence[Json]) -> Iterator[Json]:
    command = [sys.executable, "-P", "-m", VERIFY_JOB]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603  fixed words
    if process.stdin is None or process.stdout is None:
        raise CallrecError("internal error: a helper without its pipes")
    threading.Thread(target=_feed, args=(process.stdin, jobs), daemon=True).start()
    try:
        for line in process.stdout:
            yield json.loads(line)
    except BaseException:
        process.kill()
        raise
    finally:
        process.wait()
    if process.returncode != 0:
        raise CallrecError("the verifying process ended before its work was done; try again")


def _feed(pipe: IO[str], jobs: Sequence[Json]) -> None:
    try:
        with pipe:
            for job in jobs:
                pipe.write(json.dumps(job) + "\n")
    except OSError:
        return  # it ended early; its exit code says so
