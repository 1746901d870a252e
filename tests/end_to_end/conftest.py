"""Houses for the end-to-end tests: one running recorder serves a whole file wherever its tests can share it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.house import House


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """Return a telephone system with the plain configuration, over UDP."""
    with House() as house:
        yield house
