"""The telephone company around the demo: a registrar, the trunk that brings calls to callrec, and the called desk.

    python -m demonstration.standin_pbx --listen 127.0.0.2:5062 --trunk 127.0.0.11 --recorder 127.0.0.1:5070 \
        --desk-voice desk.wav

It answers the phone's REGISTER, carries the phone's INVITE over the trunk to callrec (as the trunk does it: with a
P-Asserted-Identity), and answers the call that callrec brings to the PBX. The media runs between phone, callrec and
desk directly; this program only speaks for the desk. It prints one JSON object a line for the guided tour.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import wave
from pathlib import Path

from demonstration.telephony import g711, messages
from demonstration.telephony.line import Call, Line, LineError
from demonstration.telephony.messages import Address, Message, Session
from demonstration.telephony.voice import VoiceEngine

DESK_CODECS = {8: "PCMA/8000", 0: "PCMU/8000", 101: "telephone-event/8000"}
RING_S = 1.0
LONGEST_CALL_S = 300.0


def tell(what: str, **details: object) -> None:
    """Say one fact to whoever started us."""
    sys.stdout.write(json.dumps({"what": what, **details}) + "\n")
    sys.stdout.flush()


class StandInPbx:
    """Two lines: one where phones and callrec reach the PBX, one that is the trunk towards callrec."""

    def __init__(self, listen: Address, trunk: str, recorder: Address, desk_voice: bytes) -> None:
        self._recorder = recorder
        self._desk_voice = desk_voice
        self._engine = VoiceEngine()
        self._registered: dict[str, Address] = {}
        self._desk = Line(*listen, user="desk")
        self._desk.on_request = self._outside_calls
        self._trunk = Line(trunk, user="trunk")
        self._over = threading.Event()
        self._calls: list[threading.Thread] = []

    def run(self) -> None:
        """Take calls until told to stop."""
        tell("ready", pbx=self._desk.address, trunk=self._trunk.address)
        while not self._over.is_set():
            try:
                call = self._desk.next_call(0.2)
            except LineError:
                continue
            carry = (
                self._answer_desk if call.remote[0] == self._recorder[0] and not self._is_phone(call) else self._carry
            )
            thread = threading.Thread(target=self._guarded, args=(carry, call), name=call.call_id, daemon=True)
            self._calls.append(thread)
            thread.start()
        self._desk.close()
        self._trunk.close()
        self._engine.close()

    def stop(self, *_: object) -> None:
        self._over.set()

    def _guarded(self, carry: object, call: Call) -> None:
        assert callable(carry)
        try:
            carry(call)
        except LineError as error:
            tell("failed", error=str(error))
            call.hang_up()

    # -- the registrar

    def _outside_calls(self, request: Message, source: Address) -> Message | None:
        if request.method != "REGISTER":
            return None
        user = messages.user_of(messages.uri_in(request.get("To")))
        expires = request.get("Expires") or "3600"
        if expires == "0":
            self._registered.pop(user, None)
        else:
            self._registered[user] = source
            tell("registered", user=user, phone=request.get("User-Agent"))
        answer = messages.response_to(request, 200, "OK", tag=messages.token())
        answer.headers.extend([("Contact", request.get("Contact")), ("Expires", expires)])
        return answer

    def _is_phone(self, call: Call) -> bool:
        return call.remote in self._registered.values()

    # -- the trunk

    def _carry(self, phone: Call) -> None:
        """Bring a phone's call to callrec over the trunk; the two sessions pass through untouched."""
        caller = messages.user_of(messages.uri_in(phone.invite.get("From")))
        called = messages.user_of(phone.invite.uri)
        domain = f"{self._trunk.address[0]}:{self._trunk.address[1]}"
        onward = self._trunk.dial(
            self._recorder,
            f"sip:{called}@{self._recorder[0]}:{self._recorder[1]}",
            None,
            body=phone.invite.body,
            from_=f'"Ada Lovelace" <sip:{caller}@{domain}>',
            headers=[("P-Asserted-Identity", f"<sip:{_international(caller)}@{domain};user=phone>")],
        )
        tell("carried", caller=caller, called=called)
        try:
            final = onward.wait_final(60)
        except LineError:
            onward.cancel()
            phone.reject(480, "Temporarily Unavailable")
            raise
        if final.status >= 300:
            tell("refused", status=final.status)
            phone.reject(final.status, final.start.split(" ", 2)[2])
            return
        phone.answer(messages.read_session(final.body))
        phone.wait_ack(10)
        tell("connected")
        _end_together(phone, onward)
        tell("over")

    # -- the desk that is called

    def _answer_desk(self, call: Call) -> None:
        """Ring, answer, speak and listen until somebody hangs up."""
        assert call.remote_session is not None, "callrec always offers a session to the PBX"
        offered = call.remote_session
        tell("ringing", identity=call.invite.get("P-Asserted-Identity"), codec=offered.codecs[offered.audio])
        call.ring()
        if self._over.wait(RING_S) or call.ended:
            return
        voice = self._engine.voice(self._desk.address[0])
        codecs = {number: name for number, name in offered.codecs.items() if name in DESK_CODECS.values()}
        call.answer(Session(voice.host, voice.port, codecs))
        call.wait_ack(10)
        voice.send_to(offered.host, offered.port)
        voice.speak(offered.audio, g711.encode(offered.audio, self._desk_voice), loop=True)
        tell("answered")
        ended = call.wait_ended(LONGEST_CALL_S)
        heard = sum(packet.payload_type == offered.audio for packet in voice.heard)
        voice.close()
        tell("hung_up", ended=ended, packets_heard=heard)


def _international(number: str) -> str:
    return "+44" + number[1:] if number.startswith("0") else number


def _end_together(one: Call, other: Call) -> None:
    """Wait until either call ends, then end the other; a call of the demo never lasts longer than five minutes."""
    over = threading.Event()

    def watch(call: Call) -> None:
        try:
            call.wait_ended(LONGEST_CALL_S)
        except LineError as error:
            tell("failed", error=str(error))
        over.set()

    for call in (one, other):
        threading.Thread(target=watch, args=(call,), daemon=True).start()
    over.wait(LONGEST_CALL_S + 1)
    one.hang_up()
    other.hang_up()


def read_voice(path: Path) -> bytes:
    """Return the samples of a WAV with 8 kHz, 16 bits, one channel."""
    with wave.open(str(path), "rb") as file:
        if (file.getframerate(), file.getsampwidth(), file.getnchannels()) != (8000, 2, 1):
            raise SystemExit(f"{path}: expected a WAV of 8 kHz, 16 bits, one channel")
        return file.readframes(file.getnframes())


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return host, int(port)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--listen", type=_address, required=True)
    parser.add_argument("--trunk", required=True)
    parser.add_argument("--recorder", type=_address, required=True)
    parser.add_argument("--desk-voice", type=Path, required=True)
    given = parser.parse_args()
    pbx = StandInPbx(given.listen, given.trunk, given.recorder, read_voice(given.desk_voice))
    signal.signal(signal.SIGTERM, pbx.stop)
    signal.signal(signal.SIGINT, pbx.stop)
    pbx.run()


if __name__ == "__main__":
    main()
