"""Paths about backups: for administrators, with progress, and a person's word with its reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from callrec.settings import Role
from tests.api.serving import ADMIN, Served, served


async def test_a_backup_is_told_line_by_line(api: Served) -> None:
    """How far it is, and what was made as the last line."""
    reply = await api.client.post("/backups", params={"to": "/srv/backup"})
    assert reply.status_code == 200
    told = [json.loads(line) for line in reply.text.splitlines()]
    assert told[0] == {"recordings": 1000}
    assert told[-1]["set"]["to"] == "/srv/backup"
    assert api.recorder.backups.made == ["/srv/backup"]
    copies = (await api.client.get("/backups")).json()
    assert [copy["where"] for copy in copies["items"]] == ["/srv/backup"]


async def test_a_backup_that_fails_says_why_as_its_last_line(api: Served) -> None:
    """Also after the answer has begun."""
    reply = await api.client.post("/backups", params={"to": "relative"})
    (told,) = [json.loads(line) for line in reply.text.splitlines()]
    assert told["problem"]["exit_code"] == 2


async def test_accepting_takes_a_reason(api: Served) -> None:
    """It is handed on with the name of who asked."""
    reply = await api.client.post("/backups/accept", json={"reason": "looked at it"})
    assert reply.json() == {"accepted": ["lost: stop 1"]}
    ((actor, reason),) = api.recorder.backups.accepted
    assert (bool(actor), reason) == (True, "looked at it")
    assert (await api.client.post("/backups/accept", json={})).status_code == 400


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.SUPERVISOR, Role.DPO, Role.AUDITOR])
async def test_only_an_administrator_may(folder: Path, role: Role) -> None:
    """contract.md, "Who may"."""
    async with served(folder, dict.fromkeys(ADMIN, role)) as api:
        for method, path in (("GET", "/backups"), ("POST", "/backups?to=/srv"), ("POST", "/backups/accept")):
            reply = await api.client.request(method, path, json={"reason": "x"} if "accept" in path else None)
            assert reply.status_code == 403
            assert reply.json()["exit_code"] == 4
        assert api.recorder.backups.made == []
