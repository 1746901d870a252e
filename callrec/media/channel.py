"""The control socket between the recorder and a worker: whole messages, descriptors beside them, never blocking."""

from __future__ import annotations

import errno
import json
import os
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

PROTOCOL_VERSION = 1
"""Told by both sides in `hello`; docs/media-worker-protocol.md."""

MESSAGE_LIMIT = 128 * 1024
_MOST_DESCRIPTORS = 4
_SOCKET_BUFFER = 4 * 1024 * 1024
_BACKLOG_LIMIT = 50_000

# The other side reads slowly, or too many descriptors are under way (unix(7)): the message is sent later.
_TRY_LATER = {errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS}

Message = dict[str, Any]
"""A JSON object; `t` names its kind."""


class Channel:
    """One end of the control socket.

    What cannot be sent at once waits in a bounded backlog; of it, messages that may be dropped are never part. When
    the backlog is full the channel counts as closed: the other side has not read for a very long time.
    """

    def __init__(self, end: socket.socket) -> None:
        end.settimeout(0)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER)
        self._socket = end
        self._backlog: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self.closed = False
        """The other side is gone, or this one has let go."""
        self.dropped = 0
        self.on_backlog: Callable[[], None] = lambda: None
        """Called when a message has to wait, for whoever sends it once the other side reads."""

    def fileno(self) -> int:
        """Return the descriptor to poll; -1 once closed."""
        return self._socket.fileno()

    @property
    def backlog(self) -> int:
        """Return how many messages wait for the other side to read."""
        return len(self._backlog)

    def send(self, message: Message, descriptors: Sequence[int] = (), *, droppable: bool = False) -> None:
        """Send a message now or as soon as the other side reads; a droppable one now or never."""
        if self.closed:
            return
        data = json.dumps(message, separators=(",", ":")).encode()
        if not self._backlog and self._try_to_send(data, descriptors):
            return
        if droppable:
            self.dropped += 1
        elif len(self._backlog) >= _BACKLOG_LIMIT:
            self.close()
        elif not self.closed:
            # The descriptors may be closed by their owner before their turn comes.
            self.on_backlog()
            self._backlog.append((data, tuple(os.dup(descriptor) for descriptor in descriptors)))

    def flush(self) -> None:
        """Send what waits, as far as the other side reads."""
        while self._backlog and not self.closed:
            data, descriptors = self._backlog[0]
            if not self._try_to_send(data, descriptors):
                return
            self._backlog.popleft()
            _close_all(descriptors)

    def receive(self, limit: int = 1000) -> Iterator[tuple[Message, list[int]]]:
        """Yield what has arrived, at most `limit` messages; the receiver owns the descriptors."""
        for _ in range(limit):
            try:
                data, descriptors, _, _ = socket.recv_fds(self._socket, MESSAGE_LIMIT, _MOST_DESCRIPTORS)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                data, descriptors = b"", []
            if not data:
                self.closed = True
                return
            yield json.loads(data), descriptors

    def close(self) -> None:
        """Let go of the socket and of everything that waits."""
        self.closed = True
        while self._backlog:
            _close_all(self._backlog.popleft()[1])
        self._socket.close()

    def _try_to_send(self, data: bytes, descriptors: Sequence[int]) -> bool:
        try:
            if descriptors:
                socket.send_fds(self._socket, [data], list(descriptors))
            else:
                self._socket.send(data)
        except OSError as error:
            if error.errno in _TRY_LATER:
                return False
            self.closed = True
        return True


def _close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
