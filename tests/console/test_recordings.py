"""`callrec export` and `play`."""

from __future__ import annotations

import os
import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest

from callrec.console.meter import Sound, meter_lines
from tests.api.fake_recorder import item_of
from tests.console.commands import COMMAND, run
from tests.console.conftest import Desk


@pytest.fixture
def recorded(served: Desk) -> Desk:
    served.recorder.items = [item_of(1), item_of(2), item_of(3, recording_id=None)]
    served.recorder.add_recording(item_of(1))
    served.recorder.add_recording(item_of(2), seconds=1.0)
    return served


def frames(path: Path) -> int:
    with wave.open(str(path)) as file:
        return int(file.getnframes())


def test_a_file_is_written_whole_and_only_for_its_owner(recorded: Desk) -> None:
    """--to names the file; what is exported is readable for nobody else."""
    target = recorded.folder / "one.wav"
    ran = recorded.run("export", "CALL001", "--to", target)
    assert (ran.code, frames(target), target.stat().st_mode & 0o777) == (0, 24_000, 0o600)
    assert str(target) in ran.out


def test_several_go_into_a_folder_under_their_ids(recorded: Desk) -> None:
    """A folder is made if it is not there; names say nothing about anybody."""
    folder = recorded.folder / "out"
    document = recorded.run("export", "CALL001", "CALL002", "--to", f"{folder}/", "--json").document
    assert [Path(item["path"]).name for item in document["items"]] == [
        f"{item_of(number)['call_id']}.wav" for number in (1, 2)
    ]
    assert sorted(path.stat().st_size for path in folder.iterdir()) == sorted(i["bytes"] for i in document["items"])


def test_standard_output_takes_one_recording(recorded: Desk) -> None:
    """--to - is for pipes: the bytes and nothing else."""
    command: list[str | Path] = [COMMAND, "export", "CALL001", "--to", "-", "--config", recorded.config]
    output = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    assert (output[:4], len(output)) == (b"RIFF", 44 + 24_000 * 4)
    assert recorded.run("export", "CALL001", "CALL002", "--to", "-").code == 2


@pytest.mark.parametrize("form", ["flac", "mp3", "opus", "pcapng"])
def test_every_format_can_be_written(recorded: Desk, form: str) -> None:
    """contract.md: --format."""
    target = recorded.folder / f"one.{form}"
    assert recorded.run("export", "CALL001", "--format", form, "--to", target).code == 0
    assert target.stat().st_size > 500


def test_no_half_file_is_ever_left(recorded: Desk) -> None:
    """A damaged recording is exit code 7 and leaves nothing, not even a hidden file."""
    path = recorded.recorder.stored[item_of(1)["call_id"]].parts[0].path
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    folder = recorded.folder / "out"
    folder.mkdir()
    ran = recorded.run("export", "CALL001", "--to", folder)
    assert (ran.code, ran.out, list(folder.iterdir())) == (7, "", [])


def test_the_others_are_written_when_one_cannot_be(recorded: Desk) -> None:
    """Of several, each is tried; the exit code is that of the first that failed."""
    ran = recorded.run("export", "CALL003", "CALL001", "--to", f"{recorded.folder}/out/")
    assert ran.code == 3
    assert "CALL003" in ran.err
    assert len(list((recorded.folder / "out").iterdir())) == 1


def test_no_audio_is_exit_code_3(recorded: Desk) -> None:
    """contract.md: play and export exit 3."""
    assert recorded.run("play", "CALL003").code == 3
    assert recorded.run("export", "CALL003", "--to", recorded.folder / "x.wav").code == 3


def test_a_place_that_cannot_be_written_is_one_sentence(recorded: Desk) -> None:
    """It names the place and another way."""
    ran = recorded.run("export", "CALL001", "--to", recorded.folder / "no" / "such" / "one.wav")
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "--to" in ran.err


def test_the_meter_shows_which_side_spoke(recorded: Desk) -> None:
    """Left the outside party, right our side; plain lines where no terminal is."""
    ran = recorded.run("play", "CALL001", "--no-sound")
    lines = ran.out.splitlines()
    assert ran.code == 0
    assert "LEFT, outside" in lines[0]
    assert "RIGHT, our side" in lines[0]
    assert len(lines) == 1 + 6
    for line in lines[1:]:
        left, right = line[8:].split("dB", 1)
        assert "█" in left
        assert "█" not in right
    assert "\x1b" not in ran.out


def test_the_meter_is_plain_ascii_where_nothing_else_can_be_printed(recorded: Desk) -> None:
    """An old terminal gets bars too."""
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", "PYTHONCOERCECLOCALE": "0"}
    ran = run("play", "CALL001", "--no-sound", "--config", recorded.config, environment=environment)
    assert ran.code == 0
    assert "####" in ran.out


def test_play_gives_levels_to_programs(recorded: Desk) -> None:
    """--json tells length and levels, and plays nothing."""
    document = recorded.run("play", "CALL001", "--json").document
    left, right = document["channels"]
    assert (document["duration_seconds"], left["party"], right["party"]) == (3.0, "outside", "ours")
    assert left["rms_db"] > right["rms_db"] + 20


def test_a_player_gets_the_whole_wav_by_a_pipe(recorded: Desk) -> None:
    """Sound goes to aplay's standard input: nothing readable lies on a disk."""
    tools = recorded.folder / "tools"
    tools.mkdir()
    player = tools / "aplay"
    player.write_text(f'#!/bin/sh\necho "$@" > {tools}/arguments\ncat > {tools}/heard\n')
    player.chmod(0o755)
    path = f"{tools}:{os.environ['PATH']}"
    ran = run("play", "CALL001", "--config", recorded.config, environment={"PATH": path})
    assert ran.code == 0
    assert (tools / "arguments").read_text() == "-q -t wav -\n"
    assert frames(tools / "heard") == 24_000


def test_without_a_sound_device_the_levels_are_shown(recorded: Desk) -> None:
    """A player that fails is told, and is no failure of ours."""
    player = recorded.folder / "aplay"
    player.write_text("#!/bin/sh\nexit 1\n")
    player.chmod(0o755)
    path = f"{recorded.folder}:{os.environ['PATH']}"
    ran = run("play", "CALL001", "--config", recorded.config, environment={"PATH": path})
    assert ran.code == 0
    assert "LEFT" in ran.out
    assert "no sound device" in ran.err


def test_no_two_lines_of_the_meter_show_the_same_moment() -> None:
    """A short recording is shown in steps of half a second, and each line says which."""
    sound = Sound(8000, np.zeros((2, 8000 * 3), np.int16))
    moments = [line.split()[0] for line in list(meter_lines(sound))[1:]]
    assert moments == ["00:00.0", "00:00.5", "00:01.0", "00:01.5", "00:02.0", "00:02.5"]
