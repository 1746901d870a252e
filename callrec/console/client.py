"""The thin client: HTTP to the recorder's UNIX socket, with the standard library only."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from callrec.errors import CallrecError, ExitCode, IntegrityError, OperatorError

_ROOT = "/api/v1"
_PIECE = 262_144

Json = dict[str, Any]


class _UnixConnection(HTTPConnection):
    def __init__(self, path: Path, timeout: float | None) -> None:
        super().__init__("callrec", timeout=timeout)
        self._path = path
        self._patience = timeout

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self._patience)
        self.sock.connect(str(self._path))


class Client:
    """Asks the recorder. Whatever it refuses becomes the error, and so the exit code, that it names."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, *path: str, **query: Any) -> Json:
        """Return the JSON document at a path."""
        return self._document("GET", path, query, None)

    def post(self, *path: str, body: Mapping[str, Any] | None = None) -> Json:
        """Return what the recorder answers to a document."""
        return self._document("POST", path, {}, body)

    def put(self, *path: str, body: Mapping[str, Any]) -> Json:
        """Return what the recorder answers to a document that says how something is."""
        return self._document("PUT", path, {}, body)

    def delete(self, *path: str) -> Json:
        """Return what the recorder answers when something is to go."""
        return self._document("DELETE", path, {}, None)

    def pages(self, *path: str, limit: int | None, page: int, **query: Any) -> Iterator[Json]:
        """Give the pages of a list, `{"items": […], "next": …}`, until its end or until `limit` items have come."""
        cursor, left = query.pop("cursor", None), limit
        while left is None or left > 0:
            size = page if left is None else min(page, left)
            document = self.get(*path, **query, limit=size, cursor=cursor)
            yield document
            cursor = document["next"]
            left = None if left is None else left - len(document["items"])
            if cursor is None:
                break

    def lines(self, method: str, *path: str, body: Mapping[str, Any] | None = None, **query: Any) -> Iterator[Json]:
        """Give the JSON lines of a stream as they come; empty lines are signs of life.

        Raises:
            CallrecError: if the stream tells of a problem, or the recorder goes away.
        """
        with Stream(self._path, method, path, query, body) as stream:
            while (line := stream.line()) is not None:
                if line:
                    yield line

    def stream(self, *path: str, **query: Any) -> Stream:
        """Return an answer to be read in pieces."""
        return Stream(self._path, "GET", path, query)

    def _document(
        self, method: str, path: tuple[str, ...], query: Mapping[str, Any], body: Mapping[str, Any] | None
    ) -> Json:
        with Stream(self._path, method, path, query, body) as stream:
            document = json.loads(stream.rest())
        if not isinstance(document, dict):
            raise CallrecError(f"the recorder answered {method} {'/'.join(path)} with something else than an object")
        return document


class Stream:
    """One request and its answer; an answer that is a problem is raised."""

    def __init__(
        self,
        socket_path: Path,
        method: str,
        path: tuple[str, ...],
        query: Mapping[str, Any],
        body: Mapping[str, Any] | None = None,
    ) -> None:
        self._socket_path = socket_path
        self._connection = _UnixConnection(socket_path, None)
        self._request(method, _target(path, query), body)

    def _request(self, method: str, target: str, body: Mapping[str, Any] | None) -> None:
        content = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            self._connection.request(method, target, content, headers)
            self._response: HTTPResponse = self._connection.getresponse()
        except (OSError, HTTPException) as error:
            raise self._unreachable(error) from None
        if self._response.status >= 400:
            raise _problem(self._response.status, self.rest())

    def _unreachable(self, error: Exception) -> OperatorError:
        if isinstance(error, PermissionError):
            found = "this user may not open the socket"
        elif isinstance(error, FileNotFoundError | ConnectionRefusedError):
            found = "no recorder answers there"
        else:
            found = f"the recorder went away ({error or type(error).__name__})"
        advice = "start it (systemctl start callrec, or callrec run), or name its socket with --socket"
        return OperatorError(f"{self._socket_path}: {found}; {advice}", exit_code=ExitCode.UNREACHABLE)

    def line(self) -> Json | None:
        """Return the next JSON line, an empty object for a sign of life, or nothing at the end.

        Raises:
            CallrecError: if the line tells of a problem.
        """
        try:
            text = self._response.readline()
        except (OSError, HTTPException) as error:
            raise self._unreachable(error) from None
        if not text:
            return None
        document: Json = json.loads(text) if text.strip() else {}
        if "problem" in document:
            raise _error_of(document["problem"])
        return document

    def pieces(self, size: int) -> Iterator[bytes]:
        """Give the next `size` bytes in pieces.

        Raises:
            OperatorError: if fewer come.
        """
        while size > 0:
            try:
                piece = self._response.read(min(size, _PIECE))
            except (OSError, HTTPException) as error:
                raise self._unreachable(error) from None
            if not piece:
                raise self._unreachable(EOFError("in the middle of its answer"))
            size -= len(piece)
            yield piece

    def rest(self) -> bytes:
        """Return all that follows."""
        try:
            return self._response.read()
        except (OSError, HTTPException) as error:
            raise self._unreachable(error) from None

    def close(self) -> None:
        """Hang up; the recorder ends what it was doing for us."""
        self._connection.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _target(path: tuple[str, ...], query: Mapping[str, Any]) -> str:
    given = {name: _text(value) for name, value in query.items() if value is not None}
    target = "/".join((_ROOT, *(quote(part, safe="") for part in path)))
    return f"{target}?{urlencode(given)}" if given else target


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _problem(status: int, body: bytes) -> CallrecError:
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        return CallrecError(f"the recorder answered with HTTP status {status} and no reason")
    return _error_of(document)


def _error_of(problem: Mapping[str, Any]) -> CallrecError:
    detail = str(problem.get("detail", "the recorder refused and gave no reason"))
    try:
        code = ExitCode(problem.get("exit_code", ExitCode.FAILED))
    except ValueError:
        code = ExitCode.FAILED
    return IntegrityError(detail) if code is ExitCode.INTEGRITY else OperatorError(detail, exit_code=code)
