"""What can go wrong with the catalogue."""

from __future__ import annotations

import asyncio
from typing import Any

from callrec.errors import CallrecError, ExitCode, OperatorError


class StorageUnavailable(CallrecError):  # noqa: N818 - a state of things, as the doors name it
    """The catalogue cannot be read or written in time; calls go on unrecorded until it can.

    `fate` is set where a change had begun when its time was up: the future is done when the disk has answered, with
    its result, or with the error that undid it.
    """

    def __init__(self, message: str, *, fate: asyncio.Future[Any] | None = None) -> None:
        super().__init__(message)
        self.fate = fate


class CallKnown(CallrecError):  # noqa: N818 - says what was found
    """A call is begun that the catalogue has already: an earlier attempt became durable after its time was up."""


class CallNotFound(OperatorError):  # noqa: N818 - says what was found
    """No call has this id, or it is erased."""

    def __init__(self, asked: str) -> None:
        super().__init__(f"no call or recording {asked!r}: it is unknown or erased", exit_code=ExitCode.NOT_FOUND)


class AmbiguousId(OperatorError):  # noqa: N818 - says what was found
    """Several calls begin with these characters."""

    def __init__(self, asked: str) -> None:
        super().__init__(
            f"{asked!r} begins the id of more than one call; give more of its characters", exit_code=ExitCode.USAGE
        )
