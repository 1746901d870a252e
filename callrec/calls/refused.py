"""A call that is not taken: its sender has another way, or tries again."""

from __future__ import annotations

from callrec.calls import commands as do
from callrec.calls import inputs as given
from callrec.calls.call import Call
from callrec.calls.inputs import Input, Side
from callrec.calls.outcome import Reason


class RefusedCall(Call):
    """A call for which there is no room, or which must not pass unrecorded (FAIL-2, FAIL-4); never an emergency."""

    def __init__(self, why_not: Reason) -> None:
        super().__init__(why_not)
        self._reason = why_not

    def _by_state(self, event: Input) -> list[do.Command]:
        return self._refuse(self._reason) if isinstance(event, given.Started) else []

    def _cancelled(self) -> list[do.Command]:
        return [self._finish(self._reason)]

    def _hung_up(self, _side: Side) -> list[do.Command]:
        return self._cancelled()

    def _seal_now(self) -> list[do.Command]:
        return self._refuse(self._reason)
