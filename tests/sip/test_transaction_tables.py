"""The four tables say everything that can happen, and their diagrams say the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from callrec.sip.transaction_tables import INVITE_SERVER, MACHINES, InviteServerInput, InviteServerState, Machine
from tests.support.state_machines import check, mermaid, page


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_every_table_answers_whatever_comes_from_outside(machine: Machine) -> None:
    """A table has a row for each input of the network in each state, reaches every state, and ends."""
    check(machine)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_the_check_notices_a_missing_row(machine: Machine) -> None:
    """Without any one row that the network or a timer decides, the check fails."""
    timers = {timer for running in machine.timers.values() for timer in running}
    for key in machine.table:
        if key[1] in machine.from_outside | timers:
            table = {other: step for other, step in machine.table.items() if other != key}
            with pytest.raises(AssertionError):
                check(replace(machine, table=table))


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_the_diagram_is_not_stale(machine: Machine) -> None:
    """The page in docs/state-machines is what the table prints today."""
    expected = mermaid(machine)
    found = page(machine).read_text(encoding="utf-8") if page(machine).exists() else ""
    assert found == expected, "run: python -m tests.support.state_machines"


def test_a_copy_of_the_invite_after_2xx_is_absorbed() -> None:
    """RFC 6026 7.1: after a 2xx the copy of an INVITE is absorbed, not answered."""
    step = INVITE_SERVER.table[InviteServerState.ACCEPTED, InviteServerInput.INVITE]
    assert step.to is InviteServerState.ACCEPTED
    assert step.actions == ()
