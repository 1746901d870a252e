"""What must be true of every state table, and the diagram that is printed from it."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from callrec.sip.transaction_tables import MACHINES, Machine

DIAGRAMS = Path(__file__).parent.parent.parent / "docs" / "state-machines"


def check(machine: Machine) -> None:
    """Assert what holds for every table: no dead end, nothing unreachable, a row for whatever comes from outside."""
    table, states = machine.table, set(type(machine.start))
    inputs = {given for _, given in table}
    assert inputs == set(type(next(iter(inputs)))), "an input is never used"
    assert _reached(machine) == states, f"unreachable: {states - _reached(machine)}"
    assert not any(state is machine.end for state, _ in table), "the end has no way out"
    for state in states - {machine.end}:
        for given in machine.from_outside | set(machine.timers.get(state, ())):
            assert (state, given) in table, f"{state.name} does not say what to do on {given.name}"
        _check_timers(machine, state)


def _reached(machine: Machine) -> set[Enum]:
    reached: set[Enum] = {machine.start}
    while more := {step.to for (state, _), step in machine.table.items() if state in reached} - reached:
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


def mermaid(machine: Machine) -> str:
    """Return the page of one machine: its source, its diagram and its timers."""
    lines = [
        f"# {machine.name}",
        "",
        f"{machine.source}.",
        "Printed from the table by `tests/support/state_machines.py`.",
    ]
    lines += ["", "```mermaid", "stateDiagram-v2", f"    [*] --> {machine.start.name}"]
    for (state, given), step in machine.table.items():
        actions = ", ".join(action.name for action in step.actions) or "absorb"
        if step.to is not state and not step.actions:
            actions = "-"
        lines.append(f"    {state.name} --> {step.to.name}: {given.name} / {actions}")
    lines += [f"    {machine.end.name} --> [*]", "```", "", "| state | timers that run |", "| --- | --- |"]
    for state in type(machine.start):
        lines.append(f"| {state.name} | {', '.join(timer.name for timer in machine.timers.get(state, ())) or '-'} |")
    return "\n".join(lines) + "\n"


def page(machine: Machine) -> Path:
    """Return where the page of a machine is kept."""
    return DIAGRAMS / f"{machine.name}.md"


def main() -> None:
    """Print every page anew: `python -m tests.support.state_machines`."""
    DIAGRAMS.mkdir(parents=True, exist_ok=True)
    for machine in MACHINES:
        page(machine).write_text(mermaid(machine), encoding="utf-8")


if __name__ == "__main__":
    main()
