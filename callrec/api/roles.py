"""Who may do what: OS users and groups have roles, roles have permissions; nothing else decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from callrec.api.peer import Identity
from callrec.settings import Role


class Permission(Enum):
    """What a path of the API asks for; every path names one."""

    STATUS = "see the state of the recorder"
    FIND = "find and show calls"
    LIVE = "pause, resume and end recordings of calls in progress"
    LISTEN = "play and export recordings"
    TRACE = "see the signalling of calls"
    DELETE = "delete recordings"
    PROMISES = "handle requests, stops, holds, relationships and retention"
    EVENTS = "read the events"
    AUDIT = "read the audit trail"
    NUMBERS = "see telephone numbers in full"
    ADMINISTER = "look after the recorder"


_OPERATOR = frozenset(
    {Permission.STATUS, Permission.FIND, Permission.LIVE, Permission.EVENTS, Permission.NUMBERS}
)  # fmt: skip

PERMISSIONS: Mapping[Role, frozenset[Permission]] = {
    Role.OPERATOR: _OPERATOR,
    Role.SUPERVISOR: _OPERATOR | {Permission.LISTEN, Permission.TRACE},
    Role.DPO: _OPERATOR | {Permission.DELETE, Permission.PROMISES},
    Role.AUDITOR: frozenset({Permission.STATUS, Permission.EVENTS, Permission.AUDIT}),
    Role.ADMIN: frozenset(Permission),
}
"""contract.md, "Who may"; an auditor reads what was done, with numbers masked, and touches nothing."""


@dataclass(frozen=True, slots=True)
class Actor:
    """A person or program that asks, with what it may; `name` is the OS user and goes into the audit trail."""

    name: str
    uid: int
    roles: frozenset[Role]

    def may(self, permission: Permission) -> bool:
        """Say whether any of the actor's roles carries the permission."""
        return any(permission in PERMISSIONS[role] for role in self.roles)


def actor_of(identity: Identity, roles: Mapping[str, Role]) -> Actor:
    """Return the actor a peer is, with the roles its user and its groups have in `[roles]`; perhaps none."""
    names = identity.groups | {identity.user}
    return Actor(identity.user, identity.uid, frozenset(role for name, role in roles.items() if name in names))
