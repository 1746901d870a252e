"""`callrec play`."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from typing import Any

import click

from callrec.console.fetch import fetch
from callrec.console.meter import Sound, decibels, levels, meter_line, meter_lines, read_sound
from callrec.console.options import Command, Output
from callrec.console.output import print_document
from callrec.console.session import Session, say, with_session

_PLAYERS = (("aplay", "-q", "-t", "wav", "-"), ("paplay", "--file-format=wav", "/dev/stdin"))
_TICK_S = 0.1


@click.command(cls=Command)
@click.argument("call", metavar="ID")
@click.option("--no-sound", is_flag=True, help="Show the levels only.")
@with_session
def play(session: Session, call: str, no_sound: bool) -> None:  # noqa: FBT001  click gives it by name
    """Play a recording through aplay or paplay and show both levels; left the outside party, right our side.

    Without a player, or without a sound device, only the levels are shown. Nothing is written to a disk.
    """
    with fetch(session.client, call, "wav", session.options.reason) as fetched:
        content = b"".join(fetched.pieces)
        sound = read_sound(content)
        for warning in fetched.warnings:
            say(f"callrec: {warning}")
        report = _report(fetched.call_id, sound)
    if session.output is not Output.TABLE:
        print_document(report, session.output, list)
        return
    _perform(content, sound, None if no_sound else _player())


def _report(call_id: str, sound: Sound) -> dict[str, Any]:
    sides = zip(("left", "right"), ("outside", "ours"), sound.samples[:2], strict=True)
    channels = [{"side": side, "party": party, "rms_db": round(decibels(row), 1)} for side, party, row in sides]
    return {"call_id": call_id, "duration_seconds": round(sound.seconds, 3), "rate": sound.rate, "channels": channels}


def _player() -> tuple[str, ...] | None:
    for command in _PLAYERS:
        if shutil.which(command[0]):
            return command
    return None


def _perform(content: bytes, sound: Sound, player: tuple[str, ...] | None) -> None:
    """Play and show levels: as they are heard on a terminal, else all at once."""
    process = None if player is None else _start(player, content)
    if process is not None and sys.stdout.isatty():
        _show_live(sound, process)
    else:
        for line in meter_lines(sound):
            click.echo(line)
    if process is not None and process.wait() != 0:
        say("callrec: there is no sound device; only the levels were shown")


def _start(player: tuple[str, ...], content: bytes) -> subprocess.Popen[bytes] | None:
    try:
        process = subprocess.Popen(player, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)  # noqa: S603  fixed words
    except OSError:
        return None
    threading.Thread(target=_feed, args=(process, content), daemon=True).start()
    return process


def _feed(process: subprocess.Popen[bytes], content: bytes) -> None:
    try:
        process.communicate(content)
    except (OSError, ValueError):
        return  # it ended early; its exit code says so


def _show_live(sound: Sound, process: subprocess.Popen[bytes]) -> None:
    began = time.monotonic()
    try:
        for level in levels(sound, _TICK_S):
            wait = began + level.start_s - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            if process.poll() is not None:
                break
            click.echo("\r" + meter_line(level), nl=False)
    finally:
        click.echo()
        if sys.exc_info()[0] is not None:
            process.terminate()
