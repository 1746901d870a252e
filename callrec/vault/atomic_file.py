"""The only writer of final names: a file is there whole or not at all, and nothing half lies on the disk."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_UNSUPPORTED = {errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL}
"""What kernels say where a file system knows no O_TMPFILE."""


@contextmanager
def atomic_file(path: Path, *, mode: int = 0o600) -> Iterator[int]:
    """Give a descriptor to write to; once the block ends without an error the path names what was written, durably.

    The file has no name while it grows, so that a kill leaves nothing behind; where the file system cannot do that it
    grows as `.<name>.<random>.tmp` and is removed on any error.

    Raises:
        OSError: if it cannot be written; what the path named before is unchanged.
    """
    fd, aside = _open_aside(path, mode)
    try:
        yield fd
        os.fsync(fd)
        aside = _name(fd, path) if aside is None else aside
        aside.rename(path)
    except BaseException:
        if aside is not None:
            with suppress(FileNotFoundError):
                aside.unlink()
        raise
    finally:
        os.close(fd)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable.

    Raises:
        OSError: if that failed.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _open_aside(path: Path, mode: int) -> tuple[int, Path | None]:
    try:
        return os.open(path.parent, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, mode), None
    except OSError as error:
        if error.errno not in _UNSUPPORTED or not path.parent.is_dir():
            raise
    aside = _aside(path)
    return os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), aside


def _name(fd: int, path: Path) -> Path:
    """Give a nameless file a name beside the final one: a link cannot replace what is there, a rename can."""
    aside = _aside(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Only with a folder does Python call linkat, which follows the link in /proc to the file.
        os.link(f"/proc/self/fd/{fd}", aside, src_dir_fd=folder, follow_symlinks=True)
    finally:
        os.close(folder)
    return aside


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name[:200]}.{secrets.token_hex(8)}.tmp")
