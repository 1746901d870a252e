"""The announced way: we answer, play the notice, then call the destination and record both voices."""

from __future__ import annotations

from dataclasses import dataclass

from callrec.calls import commands as do
from callrec.calls import inputs as given
from callrec.calls.call import Passing, State, Waiting
from callrec.calls.inputs import Input, Side, Timer
from callrec.calls.outcome import Reason, reason_of_failure
from callrec.calls.pausing import PauseKeys
from callrec.calls.transferring import TransferableCall

_COULD_NOT_ANSWER_NOW = frozenset({408, 481, 491, 500, 503})
_PLAYING_NOTICE_AT_MOST = frozenset({State.PREPARING, State.ANSWERING, State.ANNOUNCING})


@dataclass(frozen=True, slots=True)
class Keys:
    """What a caller may press."""

    opt_out: str
    opt_out_after_connect: str
    menu: frozenset[str] = frozenset()
    stop: str = ""
    """Stops the recording of all later calls; empty where that is not offered."""
    pausing: PauseKeys | None = None
    """Our own side's codes; None where there are none."""


class AnnouncedCall(TransferableCall):
    """A call to which a capture rule applies (LAW-1): nothing is stored before the notice has been heard (NOT-2)."""

    def __init__(
        self, keys: Keys, *, menu_prompt: bool = False, held: bool = False, next_on_busy: bool = False
    ) -> None:
        super().__init__(pause_keys=keys.pausing, next_on_busy=next_on_busy)
        if held:
            self._held.add(Side.CALLER)  # the first offer does not listen
        self._opt_out_key = keys.opt_out
        self._opt_out_sequence = keys.opt_out_after_connect
        self._menu_keys = keys.menu
        self._menu_prompt = menu_prompt
        self._stop_key = keys.stop
        self._stop_offered = False
        self._prompting = False
        self._chosen: str | None = None
        self._keys_after_connect = ""
        self._ringing_heard = False
        self._early_media = False
        self._told: Reason = Reason.NOT_ANSWERED

    def _by_state(self, event: Input) -> list[do.Command]:
        match self.state, event:
            case State.NEW, given.Started():
                self.state = State.PREPARING
                return [do.Prepare()]
            case State.PREPARING, given.Prepared():
                return self._prepared(event)
            case State.ANSWERING, given.Acknowledged():
                return self._acknowledged(event)
            case State.ANNOUNCING, given.PlayEnded(completed):
                return self._notice_ended(completed=completed)
            case State.CONFIRMING, given.PlayEnded():
                return self._choose_or_dial() if self._stop_offered or not self._stop_key else self._offer_stop()
            case State.OFFERING, given.PlayEnded():
                self._prompting = False
                return [do.SetTimer(Timer.STOP_OFFER)]
            case State.OFFERING, given.TimerFired(Timer.STOP_OFFER):
                return self._choose_or_dial()
            case State.CHOOSING, given.PlayEnded():
                self._prompting = False
                return [do.SetTimer(Timer.MENU)]
            case State.CHOOSING, given.TimerFired(Timer.MENU):
                return self._dial()
            case ((State.ANNOUNCING | State.OFFERING | State.CHOOSING | State.CONNECTED), given.KeyPressed()):
                return self._key(event)
            case State.DIALLING, _:
                return self._dialling(event)
            case State.RECODING, given.CallerRecoded(accepted):
                return self._redial() if accepted else self._tell(488)
            case State.RECODING, given.TimerFired(Timer.ANSWER):
                return self._tell(480)
            case State.TELLING, given.PlayEnded() | given.TimerFired(Timer.TONE):
                return [do.HangUp(Side.CALLER, self._told), self._finish(self._told)]
        return []

    # Before the destination is called

    def _prepared(self, event: given.Prepared) -> list[do.Command]:
        if event.short:
            return self._refuse(Reason.CAPACITY)
        if not event.row_kept or not event.media:
            # Nobody hears a notice of a recording that will not be made.
            self.state = State.OVER
            return [do.GoTransparent(Reason.STORAGE_UNAVAILABLE if event.media else Reason.CAPACITY)]
        self.state = State.ANSWERING
        return [do.AnswerCaller()]

    def _acknowledged(self, event: given.Acknowledged) -> list[do.Command]:
        if event.held:
            self._held.add(Side.CALLER)
        if not event.usable:
            return [do.HangUp(Side.CALLER, Reason.DESTINATION_FAILED), self._finish(Reason.DESTINATION_FAILED)]
        self.state = State.ANNOUNCING
        return [do.PlayNotice()]

    def _set_held(self, side: Side | Waiting, *, held: bool) -> list[do.Command]:
        if held and self.state is State.ANNOUNCING:
            self._why_not = self._why_not or Reason.NOTICE_INCOMPLETE  # NOT-14: nobody listened to all of it
        return super()._set_held(side, held=held)

    def _notice_ended(self, *, completed: bool) -> list[do.Command]:
        if not completed or self._held:
            self._why_not = self._why_not or Reason.NOTICE_INCOMPLETE  # NOT-3, NOT-14
        return self._choose_or_dial()

    def _choose_or_dial(self) -> list[do.Command]:
        if self._menu_keys and self._chosen is None:
            self.state, self._prompting = State.CHOOSING, self._menu_prompt
            return [do.PlayMenu() if self._menu_prompt else do.SetTimer(Timer.MENU)]
        return self._dial()

    def _stop_waiting(self) -> do.Command:
        """Return what ends the notice, the prompt of the menu or of the offer, or the time to choose."""
        if self._prompting or self.state is State.ANNOUNCING:
            return do.StopPlay()
        return do.StopTimer(Timer.STOP_OFFER if self.state is State.OFFERING else Timer.MENU)

    def _offer_stop(self) -> list[do.Command]:
        """Offer, once, that no call of this number is recorded any more: a choice of its own (NOT-16)."""
        self.state, self._prompting, self._stop_offered = State.OFFERING, True, True
        return [do.PlayStopOffer()]

    def _stop_offer_key(self, key: str) -> list[do.Command]:
        """Take the key up; any other means no, and the call goes on: with a key of the menu to where that leads."""
        ending = self._stop_waiting()
        if key == self._stop_key:
            return [ending, do.AddStop(), *self._choose_or_dial()]
        if key in self._menu_keys:
            self._chosen = key
        return [ending, *self._choose_or_dial()]

    def _key(self, event: given.KeyPressed) -> list[do.Command]:
        if event.side is self._hears_notice:
            return self._decline_in_repeated_notice(event.side) if event.key == self._opt_out_key else []
        pausing = self._pausing.key(event, recording=self._recording) if self.state is State.CONNECTED else []
        if event.side is not Side.CALLER or pausing:
            return pausing
        if self.state is State.CONNECTED:
            return self._key_after_connect(event.key)
        if self.state is State.OFFERING:
            return self._stop_offer_key(event.key)
        if event.key == self._opt_out_key:
            return self._opt_out_before_connect()
        if event.key in self._menu_keys:
            return self._menu_key(event.key)
        return []  # other keys do not interrupt the notice

    def _opt_out_before_connect(self) -> list[do.Command]:
        self._why_not = Reason.OPT_OUT
        stop = self._stop_waiting()
        self.state = State.CONFIRMING
        return [stop, do.PlayOptOutConfirmed()]

    def _menu_key(self, key: str) -> list[do.Command]:
        self._chosen = key
        if self.state is State.CHOOSING:
            return [self._stop_waiting(), *self._dial()]
        # The rest of the notice was not heard: the call goes on, its recording does not.
        self._why_not = self._why_not or Reason.NOTICE_INCOMPLETE
        return [do.StopPlay(), *self._dial()]

    # Calling the destination

    def _dial(self) -> list[do.Command]:
        self.state = State.DIALLING
        return [do.Dial(self._chosen), do.SetTimer(Timer.ANSWER)]

    def _redial(self) -> list[do.Command]:
        self.state = State.DIALLING
        return [do.DialAgain()]

    def _dial_next(self) -> list[do.Command]:
        """Try the next destination; whoever waits hears that it rings, also where one spoke to them meanwhile."""
        ringing, self._ringing_heard = self._ringing_heard and not self._early_media, True
        self._early_media = False
        tone = [] if ringing else [do.PlayTone(do.Tone.RINGBACK, forever=True)]
        return [*tone, *self._leave_destination(), do.DialNext(), do.SetTimer(Timer.ANSWER)]

    def _dialling(self, event: Input) -> list[do.Command]:
        match event:
            case given.Trying():
                return self._trying(event)
            case given.Redirected():
                return self._dial_next()
            case given.DestinationProgress(199):  # one branch of a fork is gone (RFC 6228); others may ring
                return []
            case given.DestinationProgress(_, early_media):
                return self._progress(early_media=early_media)
            case given.DestinationAnswered():
                return self._answered(event)
            case given.DestinationFailed(488, True):
                self.state = State.RECODING
                return [do.RecodeCaller()]
            case given.DestinationFailed(status):
                return self._dial_next() if self._tries_next(status) else self._tell(status)
            case given.TimerFired(Timer.ANSWER | Timer.REPLY) if self._more:
                return [do.CancelDestination(), *self._dial_next()]
            case given.TimerFired(Timer.ANSWER):
                return [do.CancelDestination(), *self._tell(480)]
        return []

    def _progress(self, *, early_media: bool) -> list[do.Command]:
        if early_media and not self._early_media:
            self._early_media = True
            stop = [do.StopPlay()] if self._ringing_heard else []
            return [*stop, do.Link(early=True)]
        if self._ringing_heard or self._early_media:
            return []
        self._ringing_heard = True
        return [do.PlayTone(do.Tone.RINGBACK, forever=True)]

    def _answered(self, event: given.DestinationAnswered) -> list[do.Command]:
        self.state = State.CONNECTED
        self._pausing.party_came(Side.DESTINATION, outside=event.outside)
        if event.held:
            self._held.add(Side.DESTINATION)
        limits: list[do.Command] = [do.StopTimer(Timer.ANSWER), do.SetTimer(Timer.LONGEST_CALL)]
        if event.outside and self._why_not is None:
            self._hears_notice, self._starts_after_notice = Side.DESTINATION, True
            ringing = self._ringing_heard and not self._early_media
            tone = [] if ringing else [do.PlayTone(do.Tone.RINGBACK, forever=True)]
            return [*tone, do.RepeatNotice(Side.DESTINATION), *limits]
        commands: list[do.Command] = [do.StopPlay()] if self._ringing_heard else []
        return [*commands, do.Link(), *self._start_recording(), *limits]

    def _tell(self, status: int) -> list[do.Command]:
        """Let the caller hear why, for at most ten seconds, then hang up."""
        self._told = reason_of_failure(status)
        self.state = State.TELLING
        tone = do.Tone.BUSY if self._told in (Reason.BUSY, Reason.DECLINED) else do.Tone.UNOBTAINABLE
        return [do.StopTimer(Timer.ANSWER), do.StopPlay(), do.PlayTone(tone), do.SetTimer(Timer.TONE)]

    # Connected

    def _key_after_connect(self, key: str) -> list[do.Command]:
        """Note a key; `*9` declines the recording, a plain 9 belongs to the PBX's own menu."""
        keep = len(self._opt_out_sequence)
        self._keys_after_connect = (self._keys_after_connect + key)[-keep:] if keep else ""
        if not keep or self._keys_after_connect != self._opt_out_sequence:
            return []
        self._keys_after_connect = ""
        had_recording = self.has_stored
        commands = self._stop_recording(Reason.OPT_OUT)
        if had_recording:
            self._why_not = Reason.OPT_OUT
        return commands

    def _reoffer_failed(self, passing: Passing, status: int) -> list[do.Command]:
        """Accept a hold or its end ourselves where the far side only could not answer now."""
        if status in _COULD_NOT_ANSWER_NOW:
            self._before_accepting = passing.held_before, self._why_not
            return [do.AcceptReoffer(passing.asker), *self._set_held(passing.asker, held=passing.held)]
        return super()._reoffer_failed(passing, status)

    # Ending

    def _cancelled(self) -> list[do.Command]:
        return [self._finish(Reason.ABANDONED_IN_NOTICE)]

    def _hung_up(self, side: Side) -> list[do.Command]:
        if side is Side.DESTINATION:
            return [do.HangUp(Side.CALLER), self._finish(Reason.DESTINATION_FAILED)]
        match self.state:
            case State.DIALLING | State.RECODING:
                return [do.CancelDestination(), self._finish(Reason.NOT_ANSWERED)]
            case State.CONNECTED:
                return [do.HangUp(Side.DESTINATION), self._finish(Reason.NOT_ANSWERED)]
            case State.TELLING:
                return [self._finish(self._told)]
        return [self._finish(self._why_caller_left())]

    def _why_caller_left(self) -> Reason:
        return Reason.ABANDONED_IN_NOTICE if self.state in _PLAYING_NOTICE_AT_MOST else Reason.NOT_ANSWERED

    def _seal_now(self) -> list[do.Command]:
        match self.state:
            case State.NEW | State.PREPARING:
                return [do.RejectCaller(503), self._finish(Reason.DESTINATION_FAILED)]
            case State.DIALLING | State.RECODING:
                return [do.CancelDestination(), do.HangUp(Side.CALLER), self._finish(Reason.NOT_ANSWERED)]
            case State.CONNECTED:
                return [do.HangUp(Side.DESTINATION), do.HangUp(Side.CALLER), self._finish(Reason.NOT_ANSWERED)]
            case State.TELLING:
                return [do.HangUp(Side.CALLER, self._told), self._finish(self._told)]
        return [do.HangUp(Side.CALLER), self._finish(self._why_caller_left())]
