"""What the recorder tells about itself, from its start to its end."""

from __future__ import annotations

import json
import shutil
from typing import Any

from jsonschema import Draft202012Validator

from callrec.events import load_schema
from tests.support.processes import wait_until
from tests.support.recorder import Plan, Recorder


def system_events(recorder: Recorder) -> list[tuple[str, dict[str, Any]]]:
    """Return verb and data of the stored events about no call, each checked against its schema."""
    told = []
    for line in recorder.must("events", "tail", "--json").out.splitlines():
        document = json.loads(line)
        _, _, noun, verb, _ = document["type"].split(".")
        if noun == "system":
            Draft202012Validator(load_schema(noun, verb)).validate(document)
            told.append((verb, document["data"]))
    return told


def verbs(recorder: Recorder) -> list[str]:
    return [verb for verb, _ in system_events(recorder)]


def test_start_trouble_and_end_are_told() -> None:
    """contract.md, system/started|stopping|degraded|recovered: each is told once, with what a dashboard needs."""
    with Recorder(Plan()) as recorder:
        wait_until(lambda: verbs(recorder) == ["started"], "the start is told")
        assert system_events(recorder)[0][1]["pid"] == recorder.pid
        shutil.rmtree(recorder.recordings)
        recorder.recordings.write_text("a file where the folder was")
        wait_until(lambda: verbs(recorder)[1:] == ["degraded"], "the trouble is told")
        problem = system_events(recorder)[1][1]
        assert problem == recorder.status()["problems"][0]
        recorder.recordings.unlink()
        wait_until(lambda: verbs(recorder)[2:] == ["recovered"], "the recovery is told")
        recorder.stop()
        recorder.restart()
        wait_until(lambda: verbs(recorder)[3:] == ["stopping", "started"], "the end and the next start are told")
        assert system_events(recorder)[3][1] == {"reason": "drain", "active_calls": 0}
