"""The search for readable traces finds what is there, wherever it lies, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.traces import CHUNK, Searcher, find_traces, spellings


def test_every_spelling_is_found(tmp_path: Path) -> None:
    """Each of five spellings is found, at the start, at the end and across the edge of what is read at once."""
    patterns = spellings("+447700900123")
    assert len(patterns) == 5
    for place, (what, pattern) in enumerate(patterns.items()):
        start = [0, CHUNK - 3, CHUNK - len(pattern), 2 * CHUNK - 1, 5][place]
        noise = os.urandom(start)
        (tmp_path / f"{place}").write_bytes(noise + pattern + os.urandom(7))
        assert what in [trace.what for trace in Searcher(patterns).traces_in(tmp_path / f"{place}")]
    assert len({trace.path for trace in find_traces([tmp_path], patterns)}) == 5


def test_names_of_files_are_searched(tmp_path: Path) -> None:
    """A number in a file's name is a trace, too."""
    (tmp_path / "call-07700900123.wav").write_bytes(b"")
    assert [trace.what for trace in find_traces([tmp_path], spellings("+447700900123"))] == ["+447700900123 national"]


def test_other_numbers_are_no_traces(tmp_path: Path) -> None:
    """Neither a neighbour's number nor noise is taken for it."""
    (tmp_path / "other").write_bytes(b"+447700900124 07700 900124" + os.urandom(3 * CHUNK))
    assert find_traces([tmp_path], {"voice": os.urandom(24), **spellings("+447700900123")}) == []
