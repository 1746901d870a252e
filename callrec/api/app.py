"""The API: which paths there are. What they do stands in the modules they come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from callrec.api import (
    audit,
    backups,
    calls,
    deleting,
    events,
    exporting,
    live,
    protections,
    relationships,
    requests,
    retention,
    state,
    traces,
    verifying,
)
from callrec.api.gate import Gate
from callrec.api.helpers import Helpers
from callrec.api.once import Answers
from callrec.api.parts import ApiParts
from callrec.api.ports import Recorder
from callrec.api.problems import Problem, problem_of
from callrec.api.replies import problem_response
from callrec.errors import CallrecError, ExitCode
from callrec.settings import Role

ROOT = "/api/v1"
ROUTERS = tuple(
    module.router
    for module in (
        state,
        live,
        calls,
        traces,
        exporting,
        deleting,
        events,
        verifying,
        backups,
        relationships,
        retention,
        requests,
        protections,
        audit,
    )
)


def create_app(recorder: Recorder, *, roles: Callable[[], Mapping[str, Role]], version: str = "") -> FastAPI:
    """Return the API of a recorder; `roles` gives `[roles]` as it is now, so that a reload counts at once."""
    app = FastAPI(title="callrec", version=version or "0", openapi_url=None, docs_url=None, redoc_url=None)
    app.state.parts = ApiParts(recorder, Helpers())
    app.state.answers = Answers()
    for router in ROUTERS:
        app.include_router(router, prefix=ROOT)
    app.add_middleware(Gate, roles=roles)
    app.add_exception_handler(CallrecError, _told)
    app.add_exception_handler(RequestValidationError, _misunderstood)
    app.add_exception_handler(HTTPException, _no_such_path)
    return app


async def _told(_request: Request, error: Exception) -> Response:
    return problem_response(problem_of(cast("CallrecError", error)))


async def _misunderstood(_request: Request, error: Exception) -> Response:
    # What was sent is not repeated: it may be a telephone number.
    first = cast("RequestValidationError", error).errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part not in {"query", "body", "path"})
    return problem_response(Problem(400, f"{place or 'request'}: {first['msg']}", ExitCode.USAGE))


async def _no_such_path(_request: Request, error: Exception) -> Response:
    status = cast("HTTPException", error).status_code
    code = ExitCode.NOT_FOUND if status == 404 else ExitCode.USAGE
    return problem_response(Problem(status, "the API has no such path or method; see /api/v1/openapi.json", code))
