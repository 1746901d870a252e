"""`callrec notice`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from callrec.console.options import Group
from callrec.console.output import Column, print_document, print_items
from callrec.console.session import Session, say, with_session
from callrec.errors import ExitCode, OperatorError

if TYPE_CHECKING:
    from callrec.notice import NoticeAsset

_COLUMNS = (
    Column("ID", lambda item: item["id"]),
    Column("VERSION", lambda item: str(item["version"]), right=True),
    Column("LANGUAGE", lambda item: item["language"]),
    Column("SECONDS", lambda item: f"{item['duration_ms'] / 1000:.1f}", right=True),
    Column("TEXT", lambda item: item["text"], text=True),
)


@click.group(cls=Group)
def notice() -> None:
    """List recording notices and take new ones in."""


@notice.command("list")
@with_session
def list_notices(session: Session) -> None:
    """List the newest version of every notice, verified."""
    from callrec.notice import NoticeLibrary  # noqa: PLC0415  only these commands need it

    library = NoticeLibrary.of_state(session.settings.paths.state)
    found = [library.find(asset.id, asset.language) for asset in library.newest()]
    print_items([_item(asset) for asset in found], session.output, _COLUMNS, empty="There is no notice.")


@notice.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--id", "notice_id", required=True, metavar="ID", help="What [[capture_rule]] notice names.")
@click.option("--text", required=True, metavar="TEXT", help="The wording, exactly as spoken: it is the evidence.")
@click.option("--language", default="en-GB", show_default=True, metavar="TAG", help="In which language it is.")
@with_session
def import_file(session: Session, file: Path, notice_id: str, text: str, language: str) -> None:
    """Take an audio file in as the next version of a notice: any rate, mono or stereo, 1 to 60 seconds.

    WAV, FLAC, MP3, Ogg Vorbis and Ogg Opus are read as they are; m4a, aac, wma and others with ffmpeg and the extra
    `formats`. It becomes G.711, G.722 and Opus after 200 ms of silence. Versions are never changed, because recordings
    refer to them.
    """
    from callrec.notice import NoticeLibrary  # noqa: PLC0415  sound libraries that only this command needs
    from callrec.notice.importing import Wording, import_notice  # noqa: PLC0415

    state = session.settings.paths.state
    wording = Wording(notice_id, text, language)
    asset = import_notice(file, wording, NoticeLibrary.of_state(state), state / "notices")
    _give_to_owner(state)
    lines = [f"Notice {asset.id}, version {asset.version}, {asset.duration_ms / 1000:.1f} s: {asset.directory}"]
    print_document(_item(asset), session.output, lambda: lines)
    _tell_recorder(session)


def _tell_recorder(session: Session) -> None:
    """Let a running recorder take it into use; one that is not running will when it starts."""
    try:
        session.client.post("notices", "reload")
    except OperatorError as error:
        if error.exit_code is ExitCode.UNREACHABLE:
            say("The recorder is not running; it takes the notice into use when it starts.")
        else:
            say(f"The recorder did not take it into use yet ({error}); systemctl reload callrec")
    else:
        say("The recorder uses it from the next call on.")


def _item(asset: NoticeAsset) -> dict[str, Any]:
    names = ("id", "version", "language", "duration_ms", "text", "text_sha256", "audio_sha256")
    return {name: getattr(asset, name) for name in names} | {"directory": str(asset.directory)}


def _give_to_owner(state: Path) -> None:
    """Leave what root has imported to the owner of the state folder, as everything else in it."""
    owner = state.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        for path in (state / "notices", *(state / "notices").rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid)
