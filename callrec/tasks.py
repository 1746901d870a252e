"""Tasks have a name and an owner: one that fails is told, and none outlives its owner."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger("callrec.tasks")


class Tasks:
    """The tasks of one owner, stopped together in the reverse order of starting."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._running: dict[asyncio.Task[Any], None] = {}

    def start(self, name: str, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start a named task and keep it until it ends; a failure is logged with its name."""
        task = asyncio.create_task(work, name=f"{self._owner}/{name}")
        self._running[task] = None
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task %s failed: %s", task.get_name(), error, exc_info=error)

    def __len__(self) -> int:
        return len(self._running)

    async def stop(self) -> None:
        """Cancel every task, the youngest first, and wait for each to end."""
        for task in reversed(list(self._running)):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
