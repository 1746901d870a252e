"""An event loop whose time passes only when nothing is left to do: minutes of telephony in milliseconds."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import wraps
from typing import Any, TypeVar

R = TypeVar("R")


class _Selector(selectors.DefaultSelector):
    """Instead of waiting, tell the loop how long it would have waited."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everybody waits for ever"
            self.passed += max(0.0, timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """What is meant for a thread runs at once: the time of a thread would not count."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)
        self.complaints: list[Mapping[str, Any]] = []
        self.set_exception_handler(lambda _, context: self.complaints.append(context))

    def time(self) -> float:
        return 1000.0 + self._virtual.passed

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future


def run_virtually(story: Coroutine[Any, Any, R]) -> R:
    """Run a story to its end; whatever the loop had to complain about fails it."""
    loop = VirtualLoop()
    try:
        asyncio.set_event_loop(loop)
        result = loop.run_until_complete(story)
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        assert not loop.complaints, loop.complaints
        return result
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def virtual(story: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Make a test of a story that is told in virtual time."""

    @wraps(story)
    def run(*arguments: Any, **named: Any) -> None:
        async def told() -> None:
            await story(*arguments, **named)

        run_virtually(told())

    return run
