"""Houses for the tests with other people's programs: one running recorder serves a whole file where it can."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.exchange import Exchange, exchange_plan
from tests.support.house import House
from tests.support.mouth import Mouth
from tests.support.recorder import PBX, TRUNK, Recorder


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """Return a telephone system with the plain configuration, over UDP."""
    with House() as house:
        yield house


@pytest.fixture(scope="session")
def between() -> Iterator[tuple[Recorder, int]]:
    """Return a recorder whose PBX is a SIPp, with one number that is announced and one that is not."""
    plan, port = exchange_plan()
    with Recorder(plan) as recorder:
        yield recorder, port


@pytest.fixture
def exchange(between: tuple[Recorder, int], tmp_path: Path) -> Exchange:
    """Return that recorder, and a folder for what the two SIPps write."""
    return Exchange(*between, tmp_path)


@pytest.fixture
def mouths() -> Iterator[tuple[Mouth, Mouth]]:
    """Return a mouth for the trunk's SIPp and one for the PBX's."""
    with ExitStack() as stack:
        yield stack.enter_context(Mouth(TRUNK)), stack.enter_context(Mouth(PBX))
