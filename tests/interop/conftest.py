"""Houses for the tests with other people's programs: one running recorder serves a whole file where it can."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.house import House


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """Return a telephone system with the plain configuration, over UDP."""
    with House() as house:
        yield house
