"""What a start imports: each library that is not needed is a tenth of a second until callers are answered again."""

from __future__ import annotations

import subprocess
import sys

import pytest

NOT_FOR_A_START = {
    *("alembic", "numpy", "soundfile", "soxr", "pydub", "rich", "jinja2"),
    *("sqlalchemy.orm", "sqlalchemy.ext.asyncio", "sqlalchemy.dialects.postgresql"),
}
NOT_FOR_A_WORKER = NOT_FOR_A_START | {"asyncio", "sqlalchemy", "pydantic", "fastapi", "click", "phonenumbers", "ssl"}


@pytest.mark.parametrize(
    ("modules", "unwanted"),
    [
        ("callrec.console.run, callrec.recorder.service, callrec.api.app, callrec.api.server", NOT_FOR_A_START),
        ("callrec.media.worker", NOT_FOR_A_WORKER),
    ],
    ids=["recorder", "worker"],
)
def test_a_start_imports_nothing_it_does_not_need(modules: str, unwanted: set[str]) -> None:
    """Migrations, sound files and tables for people are imported where they are used."""
    code = f"import sys, {modules}; print(*sorted(set(sys.modules) & {unwanted!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert not done.stdout.split()
