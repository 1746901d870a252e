"""A party puts the other through to somebody else: REFER and Replaces, carried out by us (SIP-9, NOT-10, NOT-21).

One call stays one conversation with one recording: the new party takes the place of the one that transferred.
"""

from __future__ import annotations

from dataclasses import dataclass

from callrec.calls import commands as do
from callrec.calls import inputs as given
from callrec.calls.call import Call, State, Waiting
from callrec.calls.inputs import Input, Side, Timer
from callrec.calls.outcome import Reason, reason_of_failure

MOST_TRANSFERS = 10
"""Transfers of one call; more of them are a loop."""


@dataclass(slots=True)
class Transfer:
    """A transfer under way."""

    side: Side
    """Who transfers: this party's place is taken by the new one."""
    ringing: bool = False
    """The transferor has left, and the party that stays hears ringing from us."""
    held: bool = False
    """When it left, it had told the other that it holds."""


class TransferableCall(Call):
    """A call whose parties may be replaced while it is connected."""

    _transfer: Transfer | None = None
    _transfers = 0
    _hears_notice: Side | None = None
    """The new party from outside, while it hears the notice (NOT-10)."""
    _starts_after_notice = False
    """It is the first destination: the recording begins only after that notice."""

    def handle(self, event: Input) -> list[do.Command]:
        """Return what is to be done about an input; a transfer is seen to before everything else."""
        if self.state is State.CONNECTED:
            match event:
                case given.TransferAsked(side):
                    return self._asked(side)
                case given.LegReplaced():
                    return self._replaced(event)
                case given.PlayEnded(completed) if self._hears_notice is not None:
                    return self._notice_repeated(completed=completed)
            if self._transfer is not None:
                return self._transferring(self._transfer, event)
        elif isinstance(event, given.TransferAsked | given.LegReplaced):
            return [do.RefuseTransfer(491 if self.state is not State.OVER else 481)]
        return super().handle(event)

    def _asked(self, side: Side) -> list[do.Command]:
        if self._transfer is not None or self._passing is not None or self._hears_notice is not None:
            return [do.RefuseTransfer(491)]
        if self._transfers >= MOST_TRANSFERS:
            return [do.RefuseTransfer(603)]
        self._transfers += 1
        self._transfer = Transfer(side)
        return [do.BeginTransfer(), do.SetTimer(Timer.TRANSFER)]

    def _transferring(self, transfer: Transfer, event: Input) -> list[do.Command]:
        match event:
            case given.TargetProgress(status):
                return [do.TellTransfer(status)]
            case given.TargetAnswered():
                return [do.StopTimer(Timer.TRANSFER), *self._put_through(transfer.side, event)]
            case given.TargetFailed(status):
                return self._failed(transfer, status)
            case given.TimerFired(Timer.TRANSFER):
                return self._failed(transfer, 408)
            case given.HungUp(side) if side is transfer.side:
                return self._transferor_left(transfer)
        self_ends = isinstance(event, given.HungUp | given.SealNow | given.Silent | given.Cancelled)
        if self_ends or event == given.TimerFired(Timer.LONGEST_CALL):
            self._transfer = None
            return [do.EndTransfer(), *super().handle(event)]
        return super().handle(event)

    def _transferor_left(self, transfer: Transfer) -> list[do.Command]:
        """Let who stays hear that it rings; nothing of it is stored, as at the beginning (NOT-20)."""
        transfer.ringing, transfer.held = True, transfer.side in self._held
        held = self._set_held(transfer.side, held=True)
        return [*held, do.PlayTone(do.Tone.RINGBACK, forever=True, side=transfer.side.other)]

    def _failed(self, transfer: Transfer, status: int) -> list[do.Command]:
        """Tell the transferor; it talks on with the other, unless it has left already."""
        self._transfer = None
        told: list[do.Command] = [do.StopTimer(Timer.TRANSFER), do.TellTransfer(status), do.EndTransfer()]
        if not transfer.ringing:
            return told
        stays, reason = transfer.side.other, reason_of_failure(status)
        return [*told, do.StopPlay(stays), do.HangUp(stays, reason), self._finish(reason)]

    def _replaced(self, event: given.LegReplaced) -> list[do.Command]:
        """Take an INVITE with Replaces (RFC 3891): its sender is connected at once."""
        if self._transfer is not None or self._hears_notice is not None:
            return [do.RefuseTransfer(491)]
        if self._transfers >= MOST_TRANSFERS:
            return [do.RefuseTransfer(603)]
        self._transfers += 1
        return self._put_through(event.side, event.target)

    def _put_through(self, side: Side, target: given.TargetAnswered) -> list[do.Command]:
        """Let the new party take the place of the transferor.

        Whoever is on the stop list ends the recording before the first packet; whoever is from outside hears the
        notice first, and is recorded only after the whole of it (LAW-39, NOT-10).
        """
        stays, transfer = side.other, self._transfer
        ringing = transfer is not None and transfer.ringing
        was_held = transfer.held if transfer is not None and transfer.ringing else side in self._held
        self._transfer = None
        self._pausing.party_came(side, outside=target.outside)
        commands: list[do.Command] = []
        if target.stopped:
            commands += self._stop_recording(Reason.STOP_LIST, discard=False)
        notice = target.outside and self._recording
        if notice:
            self._hears_notice = side
            commands += self._set_held(Waiting.NOTICE, held=True)
        if ringing and not notice:
            commands.append(do.StopPlay(stays))
        commands += self._drop_passing(stays)
        if transfer is not None:
            commands.append(do.TellTransfer(200))
        commands.append(do.PutThrough(side))
        if was_held:
            commands.append(do.RepeatSession(stays))  # what it was told last is that it is held
        if notice:
            tone = [] if ringing else [do.PlayTone(do.Tone.RINGBACK, forever=True, side=stays)]
            return [*commands, *self._set_held(side, held=target.held), *tone, do.RepeatNotice(side)]
        return [*commands, do.Link(), *self._set_held(side, held=target.held)]

    def _drop_passing(self, stays: Side) -> list[do.Command]:
        """End a re-INVITE that was being passed on: its other end has changed (RFC 3261 14.1)."""
        passing, self._passing = self._passing, None
        return [do.RefuseReoffer(stays, 491)] if passing is not None and passing.asker is stays else []

    def _notice_repeated(self, *, completed: bool) -> list[do.Command]:
        """Connect the new party, recorded only where it has heard the whole notice (NOT-3, NOT-10)."""
        side, self._hears_notice = self._hears_notice, None
        assert side is not None, "internal error: no notice plays"
        stop = [] if completed else self._stop_recording(Reason.NOTICE_INCOMPLETE, discard=False)
        return [*stop, do.StopPlay(side.other), do.Link(), *self._store_after_notice()]

    def _store_after_notice(self) -> list[do.Command]:
        """Store again, or for the first time, unless something prevents it by now."""
        starts, self._starts_after_notice = self._starts_after_notice, False
        return self._start_recording() if starts else self._set_held(Waiting.NOTICE, held=False)

    def _decline_in_repeated_notice(self, side: Side) -> list[do.Command]:
        """Let the new party decline while it hears the notice: what was stored before it came stays."""
        self._hears_notice = None
        stop = self._stop_recording(Reason.OPT_OUT, discard=False)
        return [*stop, do.StopPlay(side), do.StopPlay(side.other), do.Link(), *self._store_after_notice()]
