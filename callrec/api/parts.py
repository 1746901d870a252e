"""What the paths are given: the recorder, the helpers, and the actor with the permission a path needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from callrec.api.gate import Needs
from callrec.api.helpers import Helpers
from callrec.api.ports import Recorder
from callrec.api.roles import Actor, Permission


@dataclass(frozen=True, slots=True)
class ApiParts:
    """What the paths work with."""

    recorder: Recorder
    helpers: Helpers


def parts_of(request: Request) -> ApiParts:
    """Return the parts of the application that serves a request."""
    return cast("ApiParts", request.app.state.parts)


Parts = Annotated[ApiParts, Depends(parts_of)]

MaySeeStatus = Annotated[Actor, Depends(Needs(Permission.STATUS))]
MayFind = Annotated[Actor, Depends(Needs(Permission.FIND))]
MaySteer = Annotated[Actor, Depends(Needs(Permission.LIVE))]
MayTrace = Annotated[Actor, Depends(Needs(Permission.TRACE))]
MayListen = Annotated[Actor, Depends(Needs(Permission.LISTEN))]
MayDelete = Annotated[Actor, Depends(Needs(Permission.DELETE))]
MayReadEvents = Annotated[Actor, Depends(Needs(Permission.EVENTS))]
MayKeepPromises = Annotated[Actor, Depends(Needs(Permission.PROMISES))]
MayReadAudit = Annotated[Actor, Depends(Needs(Permission.AUDIT))]
MayAdminister = Annotated[Actor, Depends(Needs(Permission.ADMINISTER))]
