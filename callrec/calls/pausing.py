"""Pausing the recording of a call, for a card payment say (LAW-72): who pauses it, and who may end the pause."""

from __future__ import annotations

from dataclasses import dataclass

from callrec.calls import commands as do
from callrec.calls import inputs as given
from callrec.calls.inputs import Pause, Side, Timer

BY_KEY = Pause("key", "card_payment")
"""What is known of a pause that our side asked for by a code of keys."""


@dataclass(frozen=True, slots=True)
class PauseKeys:
    """The codes that pause and resume, and whose they are: our own side's only, never the outside party's."""

    pause: str = ""
    resume: str = ""
    our_side: Side = Side.DESTINATION


class Pausing:
    """Whether a call is paused, and what ends it; what is stored follows from it and from hold together.

    A pause counts from when it is asked for, also before the recording begins, and by itself it ends after a limit.
    """

    def __init__(self, keys: PauseKeys | None = None) -> None:
        self._keys = keys or PauseKeys()
        self._pressed = ""
        self._ours_speaks = True
        """Somebody of ours is at the end whose keys count."""
        self.now: Pause | None = None
        """The pause that is on, or None."""

    def pause(self, pause: Pause, *, recording: bool) -> list[do.Command]:
        """Store nothing from now on; asked for again, the limit begins anew."""
        self.now = pause
        stop = [do.PauseRecording(pause)] if recording else []
        return [*stop, do.SetTimer(Timer.PAUSE)]

    def end(self, by: str, *, recording: bool, expired: bool = False) -> list[do.Command]:
        """Store again what is said from now on."""
        if self.now is None:
            return []
        self.now = None
        timer: list[do.Command] = [] if expired else [do.StopTimer(Timer.PAUSE)]
        return [*timer, *([do.ResumeRecording(by, expired)] if recording else [])]

    def codes_of(self, side: Side) -> tuple[str, ...]:
        """Return the codes that count from a side."""
        keys = self._keys
        counts = side is keys.our_side and self._ours_speaks
        return tuple(code for code in (keys.pause, keys.resume) if code) if counts else ()

    def party_came(self, side: Side, *, outside: bool) -> None:
        """Take note of who is at an end now: a transfer may have put somebody from outside where our side was."""
        if side is self._keys.our_side:
            self._ours_speaks, self._pressed = not outside, ""

    def key(self, event: given.KeyPressed, *, recording: bool) -> list[do.Command]:
        """Note a key of our own side; the code of the pause or of its end does what it says."""
        keys = self._keys
        if event.side is not keys.our_side or not self._ours_speaks:
            return []
        keep = max(len(keys.pause), len(keys.resume))
        self._pressed = (self._pressed + event.key)[-keep:] if keep else ""
        if keys.pause and self._pressed.endswith(keys.pause) and (self.now is None or keys.pause != keys.resume):
            self._pressed = ""
            return self.pause(BY_KEY, recording=recording)
        if keys.resume and self._pressed.endswith(keys.resume):
            self._pressed = ""
            return self.end(BY_KEY.by, recording=recording)
        return []
