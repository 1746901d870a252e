"""A media service with real workers for every test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.media.support import Hall


@pytest_asyncio.fixture
async def hall() -> AsyncIterator[Hall]:
    hall = Hall()
    await hall.service.start()
    yield hall
    await hall.service.stop()
