"""What must be true of every state table, and the diagram that is printed from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from callrec.privacy.request_table import DELETION_REQUEST, RequestMachine
from callrec.sip.transaction_tables import MACHINES, Machine

DIAGRAMS = Path(__file__).parent.parent.parent / "docs" / "state-machines"
AnyMachine = Machine | RequestMachine
ALL_MACHINES: tuple[AnyMachine, ...] = (*MACHINES, DELETION_REQUEST)


@dataclass(frozen=True, slots=True)
class _Drawn:
    """What every machine has: a transaction has timers and one end, a request none and several."""

    table: Mapping[tuple[Enum, Enum], Any]
    start: Enum
    ends: tuple[Enum, ...]
    timers: Mapping[Enum, tuple[Enum, ...]]

    @classmethod
    def of(cls, machine: AnyMachine) -> _Drawn:
        if isinstance(machine, Machine):
            return cls(machine.table, machine.start, (machine.end,), machine.timers)
        ends = tuple(state for state in type(machine.start) if state in machine.ends)
        return cls(dict(machine.table.items()), machine.start, ends, {})


def check(machine: AnyMachine) -> None:
    """Assert what holds for every table: no dead end, nothing unreachable, a row for whatever comes from outside."""
    drawn = _Drawn.of(machine)
    table, states = drawn.table, set(type(drawn.start))
    inputs = {given for _, given in table}
    assert inputs == set(type(next(iter(inputs)))), "an input is never used"
    assert _reached(drawn, drawn.start) == states, f"unreachable: {states - _reached(drawn, drawn.start)}"
    assert not any(state in drawn.ends for state, _ in table), "the end has no way out"
    for state in states - set(drawn.ends):
        assert _reached(drawn, state) & set(drawn.ends), f"{state.name} leads to no end"
        for given in machine.from_outside | set(drawn.timers.get(state, ())):
            assert (state, given) in table, f"{state.name} does not say what to do on {given.name}"
        if isinstance(machine, Machine):
            _check_timers(machine, state)


def _reached(drawn: _Drawn, start: Enum) -> set[Enum]:
    reached: set[Enum] = {start}
    while more := {step.to for (state, _), step in drawn.table.items() if state in reached} - reached:
        reached |= more
    return reached


def _check_timers(machine: Machine, state: Enum) -> None:
    """A timer has a row only where it runs; and no state but one that waits for the user can last for ever."""
    running = machine.timers.get(state, ())
    for other, given in machine.table:
        if other is state and given.name.startswith("TIMER"):
            assert given in running, f"{given.name} has a row in {state.name} but does not run there"
    waits_for_user = state.name == "PROCEEDING" and machine.name.startswith("invite")
    leaves = any(machine.table[state, given].to is not state for given in running)
    assert leaves or waits_for_user, f"{state.name} may last for ever"


def mermaid(machine: AnyMachine) -> str:
    """Return the page of one machine: its source, its diagram and its timers."""
    drawn = _Drawn.of(machine)
    lines = [
        f"# {machine.name}",
        "",
        f"{machine.source}.",
        "Printed from the table by `tests/support/state_machines.py`.",
    ]
    lines += ["", "```mermaid", "stateDiagram-v2", f"    [*] --> {drawn.start.name}"]
    for (state, given), step in drawn.table.items():
        actions = ", ".join(action.name for action in step.actions) or "absorb"
        if step.to is not state and not step.actions:
            actions = "-"
        lines.append(f"    {state.name} --> {step.to.name}: {given.name} / {actions}")
    lines += [*(f"    {end.name} --> [*]" for end in drawn.ends), "```"]
    if drawn.timers:
        lines += ["", "| state | timers that run |", "| --- | --- |"]
        for state in type(drawn.start):
            lines.append(f"| {state.name} | {', '.join(timer.name for timer in drawn.timers.get(state, ())) or '-'} |")
    return "\n".join(lines) + "\n"


def page(machine: AnyMachine) -> Path:
    """Return where the page of a machine is kept."""
    return DIAGRAMS / f"{machine.name}.md"


def main() -> None:
    """Print every page anew: `python -m tests.support.state_machines`."""
    DIAGRAMS.mkdir(parents=True, exist_ok=True)
    for machine in ALL_MACHINES:
        page(machine).write_text(mermaid(machine), encoding="utf-8")


if __name__ == "__main__":
    main()
