"""What every story about a hall needs."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.support.hall_house import Complaints


@pytest.fixture(autouse=True)
def complaints() -> Iterator[Complaints]:
    """Fail a test in which something was logged as an error and not expected: `complaints.found.clear()`."""
    handler = Complaints()
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield handler
    finally:
        root.removeHandler(handler)
    assert not handler.found, handler.found
