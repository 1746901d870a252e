"""Errors as RFC 9457 problem documents; `exit_code` tells the `callrec` command what to end with."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from callrec.errors import CallrecError, ExitCode, IntegrityError, OperatorError

MEDIA_TYPE = "application/problem+json"

_STATUS: dict[ExitCode, HTTPStatus] = {
    ExitCode.FAILED: HTTPStatus.INTERNAL_SERVER_ERROR,
    ExitCode.USAGE: HTTPStatus.BAD_REQUEST,
    ExitCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    ExitCode.NOT_ALLOWED: HTTPStatus.FORBIDDEN,
    ExitCode.REFUSED: HTTPStatus.CONFLICT,
    ExitCode.INTEGRITY: HTTPStatus.UNPROCESSABLE_ENTITY,
    ExitCode.UNREACHABLE: HTTPStatus.BAD_GATEWAY,
    ExitCode.BUSY: HTTPStatus.SERVICE_UNAVAILABLE,
    ExitCode.CONFIGURATION: HTTPStatus.INTERNAL_SERVER_ERROR,
}


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong, in one sentence a person can act on."""

    status: int
    detail: str
    exit_code: ExitCode

    def document(self) -> dict[str, Any]:
        """Return the problem as the JSON object of RFC 9457 3."""
        return {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "exit_code": int(self.exit_code),
        }


def problem_of(error: CallrecError) -> Problem:
    """Return how an error is told to a client."""
    if isinstance(error, OperatorError):
        return Problem(_STATUS.get(error.exit_code, HTTPStatus.INTERNAL_SERVER_ERROR), str(error), error.exit_code)
    if isinstance(error, IntegrityError):
        return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), ExitCode.INTEGRITY)
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, str(error), ExitCode.FAILED)


def not_found(text: str) -> OperatorError:
    """Return the error for something that is not there, or no longer."""
    return OperatorError(text, exit_code=ExitCode.NOT_FOUND)


def not_allowed(text: str) -> OperatorError:
    """Return the error for a person who may not do this."""
    return OperatorError(text, exit_code=ExitCode.NOT_ALLOWED)


def misuse(text: str) -> OperatorError:
    """Return the error for a request that cannot be understood."""
    return OperatorError(text, exit_code=ExitCode.USAGE)
