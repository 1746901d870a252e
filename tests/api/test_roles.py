"""Who may do what at the socket."""

from __future__ import annotations

import asyncio
import grp
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from fastapi.routing import APIRoute

from callrec.api.app import ROOT, ROUTERS, create_app
from callrec.api.gate import Needs
from callrec.api.peer import Identity, identify, peer_of
from callrec.api.roles import PERMISSIONS, Permission, actor_of
from callrec.settings import Role
from tests.api.fake_recorder import FakeRecorder, event_of, item_of
from tests.api.serving import ME, served

ASK_AS_SOMEBODY = """
import os, socket, sys
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
s.sendall(b"GET /api/v1/status HTTP/1.1\\r\\nHost: c\\r\\nConnection: close\\r\\n\\r\\n")
print(s.makefile().read())
"""

PATHS = {
    Permission.STATUS: ("GET", "/status"),
    Permission.FIND: ("GET", "/calls"),
    Permission.LISTEN: ("GET", "/calls/CALL001/export"),
    Permission.DELETE: ("POST", "/deletions/plan"),
    Permission.EVENTS: ("GET", "/events"),
    Permission.PROMISES: ("GET", "/requests"),
    Permission.AUDIT: ("GET", "/audit"),
    Permission.ADMINISTER: ("POST", "/notices/reload"),
}


def needs_of(route: APIRoute) -> list[Needs]:
    return [dependency.call for dependency in route.dependant.dependencies if isinstance(dependency.call, Needs)]


def test_every_path_names_exactly_one_permission(tmp_path: Path) -> None:
    """No path is open by mistake: each asks for one permission."""
    routes = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    assert {route.path: len(needs_of(route)) for route in routes} == {route.path: 1 for route in routes}
    described = create_app(FakeRecorder(tmp_path), roles=dict).openapi()["paths"]
    assert set(described) == {ROOT + route.path_format for route in routes}


def test_the_kernel_names_the_peer() -> None:
    """Both ends of a socket pair are this process, with its user and its groups."""
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        peer = peer_of(one)
    assert (peer.pid, peer.uid, peer.gid) == (os.getpid(), os.getuid(), os.getgid())
    assert set(peer.groups) == set(os.getgroups())
    assert identify(peer).user == ME


def test_roles_come_from_the_user_and_from_every_group() -> None:
    """A user with a role of his own and one by a group has both."""
    identity = Identity("ann", 1000, frozenset({"staff", "dpo-team"}))
    actor = actor_of(identity, {"ann": Role.OPERATOR, "dpo-team": Role.DPO, "bob": Role.ADMIN})
    assert actor.roles == {Role.OPERATOR, Role.DPO}
    assert actor.may(Permission.DELETE)
    assert not actor.may(Permission.LISTEN)


def test_only_an_admin_may_all() -> None:
    """contract.md: admin (all); every permission but those of administration is somebody else's too."""
    assert PERMISSIONS[Role.ADMIN] == frozenset(Permission)
    others = frozenset().union(*(PERMISSIONS[role] for role in Role if role is not Role.ADMIN))
    assert frozenset(Permission) - others == {Permission.ADMINISTER}


@pytest.mark.parametrize("role", list(Role))
async def test_a_path_is_open_to_just_the_roles_that_may(folder: Path, role: Role) -> None:
    """Each role gets an answer where it may and 403 with exit code 4 where it may not."""
    async with served(folder, {ME: role}) as api:
        for permission, (method, path) in PATHS.items():
            reply = await api.client.request(method, path)
            if permission in PERMISSIONS[role]:
                assert reply.status_code != 403, path
            else:
                assert (reply.status_code, reply.json()["exit_code"]) == (403, 4), path


async def test_an_unmapped_user_is_refused_whatever_he_asks(folder: Path) -> None:
    """A user without a role gets exit code 4 and the line of configuration that would let him in."""
    async with served(folder, {}) as api:
        reply = await api.get("/no-such-path")
        assert (reply.status_code, reply.json()["exit_code"]) == (403, 4)
        assert reply.headers["content-type"].startswith("application/problem+json")
        assert f"[roles] {ME}" in reply.json()["detail"]
        assert api.recorder.audited == []


async def test_a_role_given_to_a_group_lets_its_members_in(folder: Path) -> None:
    """`[roles]` names groups as well as users."""
    async with served(folder, {grp.getgrgid(os.getgid()).gr_name: Role.OPERATOR}) as api:
        assert (await api.get("/calls")).status_code == 200


async def test_another_user_of_this_machine_is_known_by_the_kernel(folder: Path) -> None:
    """The actor is the OS user at the other end, whatever the request says."""
    async with served(folder, {"root": Role.ADMIN, "nobody": Role.OPERATOR}) as api:
        command = [sys.executable, "-I", "-c", ASK_AS_SOMEBODY, str(api.socket)]
        output = await asyncio.to_thread(lambda: subprocess.check_output(command, text=True))
        assert ("200 OK" if os.geteuid() == 0 else "403 Forbidden") in output


async def test_the_socket_is_open_and_its_folder_readable(folder: Path) -> None:
    """contract.md: 0666 in a 0755 directory."""
    async with served(folder) as api:
        assert api.socket.stat().st_mode & 0o7777 == 0o666
        assert api.socket.parent.stat().st_mode & 0o7777 == 0o755


async def test_an_auditor_reads_events_without_numbers(folder: Path) -> None:
    """Who may not see numbers sees them masked, also where the configuration publishes them in full."""
    event = event_of(1, presentation_number="+442079460123", display_name="Ann Example")
    shown = {}
    for role in (Role.AUDITOR, Role.OPERATOR):
        async with served(folder, {ME: role}) as api:
            api.recorder.events.append(event)
            shown[role] = (await api.get("/events")).json()["items"][0]["data"]
    assert shown[Role.OPERATOR]["presentation_number"] == "+442079460123"
    assert "9460" not in str(shown[Role.AUDITOR])
    assert "Ann" not in str(shown[Role.AUDITOR])


async def test_operators_see_numbers_in_full(folder: Path) -> None:
    """contract.md: numbers are shown in full to roles that may."""
    async with served(folder, {ME: Role.OPERATOR}) as api:
        api.recorder.items.append(item_of(1))
        assert (await api.get("/calls")).json()["items"][0]["network_number"] == "+442079460123"
