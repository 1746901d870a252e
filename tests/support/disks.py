"""Disks that block, fill up or cannot be written: real file systems under the folders of a recorder.

Everything here is done as root, by sudo where the tests are not. What is mounted is always unmounted, and what is
frozen always thawed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from io import RawIOBase
from pathlib import Path
from typing import BinaryIO

import pytest

from tests.support.processes import program, wait_until
from tests.support.recorder import Recorder

_CLEAR_UP = 'PATH=$PATH:/usr/sbin:/sbin; read -r _; fsfreeze --unfreeze "$1"; mountpoint -q "$1" && umount --lazy "$1"'


_AS_ROOT = () if os.geteuid() == 0 else ("sudo", "-n")


def _write_for_ever(file: BinaryIO | RawIOBase) -> None:
    while True:
        file.write(bytes(4096))


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    line = [*_AS_ROOT, program(command[0]), *command[1:]]
    return subprocess.run(line, capture_output=True, text=True, timeout=30, check=False)


def _must(*command: str) -> None:
    done = _run(*command)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"


class Disk:
    """A file system mounted on a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._blocked = False
        # Outlives these tests however they end: its input ends with them, and then it clears up.
        self._guard = subprocess.Popen(
            [*_AS_ROOT, "/bin/sh", "-c", _CLEAR_UP, "guard", str(folder)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    # -- a disk that does not answer

    def block(self) -> None:
        """Let every write wait until `answer`; who waits cannot even be killed, as on a disk that is gone."""
        _must("fsfreeze", "--freeze", str(self.folder))
        self._blocked = True

    def answer(self) -> None:
        """Let the writes that wait go through."""
        if self._blocked:
            self._blocked = False
            _must("fsfreeze", "--unfreeze", str(self.folder))

    # -- a disk that is full

    @property
    def _filler(self) -> Path:
        return self.folder / "filler"

    def fill(self, *, leave: int = 0) -> None:
        """Leave no more than so many bytes free."""
        with self._filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
            _write_for_ever(file)
        if leave:
            os.truncate(self._filler, self._filler.stat().st_size - leave)

    def free(self) -> None:
        """Make room again."""
        self._filler.unlink()

    def unmount(self) -> None:
        """Take the file system away; nobody may use it any longer."""
        self.answer()
        try:
            wait_until(lambda: _run("umount", str(self.folder)).returncode == 0, f"{self.folder} is unmounted", 15)
        finally:
            self._guard.communicate(timeout=30)


@contextmanager
def disk_under(recorder: Recorder, folder: Path, *, kind: str = "ext4", size_mib: int = 64) -> Iterator[Disk]:
    """Give one folder of an installation a file system of its own, with what lies in it; the recorder is restarted.

    Args:
        recorder: an installation that runs.
        folder: its recordings or its state.
        kind: `ext4`, which can block, or `tmpfs`, which can be small.
        size_mib: how much it holds.
    """
    recorder.stop()
    kept = recorder.directory / f"{folder.name}.kept"
    shutil.copytree(folder, kept)
    disk = _mounted(folder, kind, size_mib, recorder.directory / f"{folder.name}.img")
    try:
        shutil.copytree(kept, folder, dirs_exist_ok=True)
        shutil.rmtree(kept)
        recorder.restart()
        yield disk
    finally:
        disk.answer()
        recorder.stop()
        disk.unmount()


def _mounted(folder: Path, kind: str, size_mib: int, image: Path) -> Disk:
    if kind == "tmpfs":
        owner = f"uid={os.geteuid()},gid={os.getegid()}"
        _must("mount", "-t", "tmpfs", "-o", f"size={size_mib}m,mode=700,{owner}", "none", str(folder))
    else:
        with image.open("wb") as file:
            file.truncate(size_mib << 20)
        owner = f"{os.geteuid()}:{os.getegid()}"
        _must("mkfs.ext4", "-q", "-F", "-m", "0", "-E", f"lazy_itable_init=0,root_owner={owner}", str(image))
        _must("mount", "-o", "loop", str(image), str(folder))
        (folder / "lost+found").rmdir()
        folder.chmod(0o700)
    return Disk(folder)


@contextmanager
def unwritable(recorder: Recorder, folder: Path) -> Iterator[None]:
    """Let nothing under a folder be written, not even by root; the recorder is restarted before and afterwards."""
    recorder.stop()
    _must("mount", "--bind", str(folder), str(folder))
    try:
        _must("mount", "-o", "remount,bind,ro", str(folder))
        recorder.restart()
        yield
    finally:
        recorder.stop()
        Disk(folder).unmount()
    recorder.restart()
