"""What the tests of the command share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.api.fake_recorder import FakeRecorder
from tests.api.serving import ServedInThread, open_folder
from tests.console.commands import Ran, run, run_at_terminal

CONFIGURATION = """
[paths]
recordings = "recordings"
state = "state"
[keys]
master_key_file = "secrets/master-key"
[sip]
listen = ["udp://127.0.0.1:{port}"]
[privacy]
ledger_copy = "ledger-copy/ledger"
[api]
socket = "api.sock"
[[peer]]
name = "trunk"
addresses = ["127.0.0.1"]
role = "trunk"
[[route]]
from = "trunk"
rule = "inbound"
destination = "sip:127.0.0.2:5062"
[[capture_rule]]
name = "inbound"
direction = "inbound"
controller = "Better Comms (VOIP) Ltd"
purpose = "training_and_monitoring"
lawful_basis = "legitimate_interests"
assessment_ref = "LIA-2026-01"
notice = "training-and-monitoring"
retention_class = "unmatched"
[[retention_class]]
name = "unmatched"
keep = "2y"
"""


@dataclass
class Desk:
    """A configuration in a folder of its own, and perhaps a recorder that answers."""

    folder: Path
    served: ServedInThread | None = None

    @property
    def config(self) -> Path:
        return self.folder / "callrec.toml"

    @property
    def recorder(self) -> FakeRecorder:
        assert self.served is not None
        return self.served.recorder

    def run(self, *arguments: str | Path) -> Ran:
        return run(*arguments, "--config", self.config)

    def run_at_terminal(self, answer: str, *arguments: str | Path) -> Ran:
        return run_at_terminal(answer, *arguments, "--config", self.config)


@pytest.fixture
def desk() -> Iterator[Desk]:
    """A configuration, and no recorder."""
    with open_folder() as folder:
        (folder / "callrec.toml").write_text(CONFIGURATION.replace("{port}", "5079"))
        yield Desk(folder)


@pytest.fixture
def served(desk: Desk) -> Iterator[Desk]:
    """A configuration, and a recorder that answers on its socket."""
    with ServedInThread(desk.folder) as serving:
        yield Desk(desk.folder, serving)
