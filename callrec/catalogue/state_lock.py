"""One recorder for each state folder: a lock file that the kernel gives back when its holder dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from callrec.errors import ExitCode, OperatorError


class StateLock:
    """The lock of a state folder, held until `release` or the end of this process; never inherited over exec."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def acquire(cls, path: Path) -> StateLock:
        """Take the lock file of a state folder.

        Raises:
            OperatorError: with exit code 75 if another process holds it, 78 if the file cannot be made.
        """
        try:
            descriptor = _open(path)
        except OSError as error:
            raise OperatorError(
                f"state folder {path.parent}: cannot be written ({error.strerror}); check its owner",
                exit_code=ExitCode.CONFIGURATION,
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise OperatorError(
                f"state folder {path.parent}: process {holder} uses it already; stop it first, or give another folder",
                exit_code=ExitCode.BUSY,
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return cls(descriptor)

    def release(self) -> None:
        """Give the lock back; may be repeated."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _open(path: Path) -> int:
    """Open the lock file, and make it only where there is none: making one waits for a disk that takes no writes.

    So a second recorder learns at once that it is one, whatever the disk does.
    """
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
