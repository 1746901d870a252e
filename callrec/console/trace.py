"""`callrec trace`: what a call's signalling was, as a ladder, and the time line of its media."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO
from zoneinfo import ZoneInfo

import click

from callrec.console.call_views import SHORT_ID, TIME_ONLY, leg_words, local
from callrec.console.export import new_file
from callrec.console.fetch import fetch
from callrec.console.options import Command
from callrec.console.output import print_document, printable
from callrec.console.session import Session, say, with_session
from callrec.errors import CallrecError

Json = Mapping[str, Any]


@click.command(cls=Command)
@click.argument("call", metavar="ID")
@click.option("--pcap", metavar="FILE", help="Write SIP, and RTP where the recording is there, for Wireshark.")
@with_session
def trace(session: Session, call: str, pcap: str | None) -> None:
    """Show the SIP messages of a call on both legs, and what became of its media.

    Credentials, SRTP keys and digits are crossed out; of a caller who withheld the number there is no trace.
    """
    document = session.client.get("calls", call, "trace")
    if pcap is not None:
        with new_file(Path(pcap)) as file:
            _write_capture(session, document, file)
        say(f"{pcap}: written; what is exported is no longer protected by callrec")
        return
    print_document(document, session.output, lambda: (printable(line) for line in _lines(document, session.zone)))


def _lines(document: Json, zone: ZoneInfo) -> Iterator[str]:
    yield f"call {document['call_id']}  {document.get('call_reference') or ''}  {local(document['started_at'], zone)}"
    yield ""
    rows = [row for rung in document["messages"] for row in _rows(rung, zone)]
    lane = max((len(text) for _, caller, text in rows if caller), default=0)
    yield f"{'TIME':<12}  {'MS':>8}  {'CALLER':<{lane}} │ DESTINATION"
    for before, caller, text in rows:
        yield f"{before:<24}{text:<{lane}} │" if caller else f"{before:<24}{'':<{lane}} │ {text}"
    if document["left_out"]:
        yield f"{document['left_out']} more messages were not kept"
    yield ""
    yield from _media(document, zone)


def _rows(rung: Json, zone: ZoneInfo) -> Iterator[tuple[str, bool, str]]:
    """Give the rows of one message: when, whether it is the caller's leg, and what."""
    at = datetime.fromtimestamp(rung["at_us"] / 1e6, UTC).astimezone(zone)
    clock, caller = f"{at.strftime(TIME_ONLY)}.{at.microsecond // 1000:03}", rung["leg"] == "caller"
    method = rung["cseq"].rpartition(" ")[2]
    words = rung["summary"] if not rung["summary"][:1].isdigit() else f"{rung['summary']} ({method})"
    words += " [again]" if rung["repeated"] else ""
    number = rung["leg"].removeprefix("destination").strip()
    words = f"#{number} {words}" if number.isdigit() else words
    # Our own side stands in the middle: what comes from the caller points to the right, from the destination left.
    yield f"{clock:<12}  {rung['ms']:>8}  ", caller, f"{words} ──▶" if rung["sent"] is not caller else f"◀── {words}"
    if rung["sdp"]:
        yield "", caller, f"    {rung['sdp']}"


def _media(document: Json, zone: ZoneInfo) -> Iterator[str]:
    for leg in document["legs"] or ():
        yield f"leg {leg_words(leg, zone)}"
    begun = document.get("recording_started_at")
    if begun is None:
        yield f"not recorded: {document.get('outcome_reason') or 'in progress'}"
        return
    yield f"recorded from {local(begun, zone)}"
    for segment in document["segments"] or ():
        span = f"{segment['start_ms'] / 1000:>9.3f} s to {segment['end_ms'] / 1000:>9.3f} s"
        yield f"  {span}  {segment['state']}{': ' + segment['reason'] if segment['reason'] else ''}"


def _write_capture(session: Session, document: Json, file: BinaryIO) -> None:
    from callrec.vault.trace_pcapng import SipCapture  # noqa: PLC0415  only a capture needs it

    capture = SipCapture(file, f"callrec call {document['call_id']}: SIP; credentials, keys and digits crossed out")
    for rung in document["messages"]:
        ends = (rung["ours"], rung["theirs"]) if rung["sent"] else (rung["theirs"], rung["ours"])
        capture.message(rung["at_us"], *ends, rung["text"].encode("latin-1"))
    if document.get("recording_id") is None or document.get("outcome") is None:
        return
    try:
        # A capture may have several sections: that of the recording, on addresses of its own, follows as it is.
        with fetch(session.client, document["call_id"], "pcapng", session.options.reason) as fetched:
            file.writelines(fetched.pieces)
    except CallrecError as error:
        say(f"callrec: {document['call_id'][:SHORT_ID]}: SIP only: {error}")
