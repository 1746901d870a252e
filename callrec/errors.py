"""The three families of error, by whose fault it is, and the exit codes of the `callrec` command."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the `callrec` command tells the shell."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    NOT_ALLOWED = 4
    REFUSED = 5
    INTEGRITY = 7
    UNREACHABLE = 69
    BUSY = 75
    CONFIGURATION = 78


class CallrecError(Exception):
    """The root of everything callrec raises on purpose."""


class PeerError(CallrecError):
    """The other side broke a rule of the protocol; `status` is the SIP status to answer with, where one can be sent."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class OperatorError(CallrecError):
    """Configuration or use is wrong; the message says what was found, what was expected, and what to do next."""

    def __init__(self, message: str, *, exit_code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class ConfigurationError(OperatorError):
    """A configuration file does not say what it must; shown on one line as `file:line: key: what was expected`."""

    def __init__(self, message: str) -> None:
        super().__init__(message, exit_code=ExitCode.CONFIGURATION)


class IntegrityError(CallrecError):
    """Stored data does not verify, or its key is wrong or gone; never swallowed."""
