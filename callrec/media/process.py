"""One worker process as the recorder holds it: started by exec, heard over its control socket, ended by closing it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress

from callrec.media.channel import PROTOCOL_VERSION, Channel

_COMMAND = (sys.executable, "-m", "callrec.media.worker")


class WorkerProcess:
    """A worker and what is known of its health."""

    def __init__(self, process: subprocess.Popen[bytes], channel: Channel, now: float) -> None:
        self._process = process
        self.channel = channel
        self.pid = process.pid
        self.heard_at = now
        """When something was last read from it, on the monotonic clock."""
        self.pinged_at = now
        self.ready = False
        """It has said hello: its silence counts from then on."""
        self.legs = 0
        """How many legs it was given, for sharding."""

    @classmethod
    def start(cls, now: float) -> WorkerProcess:
        """Start a worker; blocks for the few milliseconds of an exec.

        Raises:
            OSError: if there is no process or descriptor left.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            # close_fds and the non-inheritable default keep the state lock, the keyring and every other socket out;
            # a session of its own keeps Ctrl-C on the recorder from it.
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [*_COMMAND, "--control-fd", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        channel = Channel(ours)
        channel.send({"t": "hello", "version": PROTOCOL_VERSION})
        return cls(process, channel, now)

    @property
    def gone(self) -> bool:
        """Return whether the process has ended or its socket has closed."""
        return self.channel.closed or self._process.poll() is not None

    def kill(self) -> None:
        """End the process at once, stopped or not, and let go of its socket."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL) if self._process.poll() is None else None
        self.channel.close()

    def close(self) -> None:
        """Let the process end by itself: it makes durable what it has, and exits."""
        self.channel.close()

    def wait(self, timeout_s: float) -> None:
        """Wait for the end of the process; kill it if that takes too long."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait(5.0)

    def reap(self) -> bool:
        """Return whether the process has ended, and take its exit status."""
        return self._process.poll() is not None
