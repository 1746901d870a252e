"""What can go wrong with the catalogue."""

from __future__ import annotations

from callrec.errors import CallrecError, ExitCode, OperatorError


class StorageUnavailable(CallrecError):  # noqa: N818 - a state of things, as the doors name it
    """The catalogue cannot be read or written in time; calls go on unrecorded until it can."""


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
