"""What the tests of the API share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.api.serving import Served, open_folder, served


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as path:
        yield path


@pytest.fixture
async def api(folder: Path) -> AsyncIterator[Served]:
    async with served(folder) as one:
        yield one
