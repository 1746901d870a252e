"""A request of ours that goes once more in place of another: a challenge was answered, or its way was closed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from callrec.sip.legs import Leg, LegState

if TYPE_CHECKING:
    from callrec.sip.core import Core
    from callrec.sip.transactions import Transaction


def is_wanted(transaction: Transaction) -> bool:
    """Whether anybody still wants the request: not an INVITE that was taken back, nor one of a call that is over."""
    leg = transaction.owner
    if transaction.request.method == "CANCEL":
        return False  # it cannot be sent again (RFC 3261 22.1)
    if not isinstance(leg, Leg):
        return True
    if transaction.request.method == "BYE":
        return leg.state is LegState.ENDING
    return transaction in {leg.ours, leg.our_update} and (leg.state is LegState.CALLING or leg.speaks)


def take_place(core: Core, before: Transaction, again: Transaction) -> None:
    """Let the owner of a request know it by the transaction that took its place."""
    again.answers = again.answers or before.answers
    leg = before.owner
    if not isinstance(leg, Leg):
        return
    if leg.ours is before:
        leg.ours = again
    if leg.our_update is before:
        leg.our_update = again
    if leg.first_invite is before:
        leg.first_invite = again
        core.legs.forget_early(leg)
        leg.received_rseq.clear()
        leg.provisional = False
