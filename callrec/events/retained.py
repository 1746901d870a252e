"""The retained documents: what runs, whether it is well, how much it does. No number, no name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from callrec.events.topics import Topics
from callrec.settings import EventNumbers

_INFO = ("version", "pid")
_HEALTH = ("recording", "problems")
# Known to whoever reads the topic, or said better by another one.
_ELSEWHERE = (*_INFO, *_HEALTH, "broker", "signed_head", "lost")


def info_of(status: Mapping[str, Any], topics: Topics, numbers: EventNumbers) -> dict[str, Any]:
    """Return what runs here; `signed_head` is the signed head of the ledger where the recorder gives one."""
    return {
        "node": topics.node_id,
        "source": topics.root,
        **{name: status.get(name) for name in _INFO},
        "numbers": numbers.value,
        "signed_head": status.get("signed_head"),
    }


def health_of(status: Mapping[str, Any]) -> dict[str, Any]:
    """Return whether it records, and its problems."""
    return {name: status.get(name) for name in _HEALTH}


def stats_of(status: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything else that `status` shows."""
    return {name: value for name, value in status.items() if name not in _ELSEWHERE}
