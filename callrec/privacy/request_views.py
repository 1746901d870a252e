"""What people and programs see of a request: documents made of its rows. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from callrec.catalogue.requests import CallRow, HistoryRow, NoticeRow, RequestRow, StoreRow
from callrec.clock import rfc3339
from callrec.privacy.alerts import AlertFacts, level_now, overdue, waits_for
from callrec.privacy.clocks import Deadlines
from callrec.privacy.grounds import Ground, ground_of
from callrec.privacy.letters import KeptPart, LetterFacts
from callrec.privacy.protections import Protection
from callrec.privacy.request_execution import BACKUPS, ERASED, KEEP, LIVE_STORES, SINCE
from callrec.privacy.request_file import RequestFile
from callrec.privacy.request_table import RequestState, commands

SETTLED = frozenset({"erased", "not_present", "ticked"})


@dataclass(frozen=True, slots=True)
class Standing:
    """One request with its clocks, as of a moment."""

    row: RequestRow
    deadlines: Deadlines
    unticked: tuple[str, ...]
    now: datetime
    zone: ZoneInfo

    @property
    def facts(self) -> AlertFacts:
        """What alerts depend on."""
        return AlertFacts(RequestState(self.row.state), self.deadlines, self.unticked)

    @property
    def today(self) -> date:
        """The local date."""
        return self.now.astimezone(self.zone).date()

    @property
    def overdue(self) -> list[str]:
        """The clocks that have run out."""
        return [clock.value for clock in overdue(self.facts, self.now)]

    def document(self) -> dict[str, Any]:
        """Return what every list shows."""
        row, clocks = self.row, self.deadlines
        return {
            "id": row.request_id,
            "state": row.state,
            "channel": row.channel,
            "received_at": rfc3339(row.received_at),
            "promise_due_local_date": clocks.promise_due_local_date.isoformat(),
            "promise_outer_date": clocks.promise_outer_date.isoformat(),
            "statutory_due_local_date": clocks.statutory_due_local_date.isoformat(),
            "overdue": self.overdue,
            "levels": {clock.value: level.value for clock, level in level_now(self.facts, self.now, self.zone).items()},
            "waits_for": waits_for(self.facts).value,
            "overdue_reason": waits_for(self.facts).value if self.overdue else None,
        }


@dataclass(frozen=True, slots=True)
class Whole:
    """One request with all that belongs to it."""

    standing: Standing
    file: RequestFile
    calls: Sequence[CallRow]
    stores: Sequence[StoreRow]
    notices: Sequence[NoticeRow]
    history: Sequence[HistoryRow]

    @property
    def row(self) -> RequestRow:
        """The request's row."""
        return self.standing.row

    @property
    def reports(self) -> list[StoreRow]:
        """What each store says today: a backup that is gone by now is erased."""
        return [_today(store, self.standing.today) for store in self.stores]

    @property
    def result(self) -> str | None:
        """`whole`, `partly`, or None before anything was executed and verified."""
        if self.row.completed_at is None:
            return None
        whole = self.row.state == RequestState.COMPLETED and all(one.state in SETTLED for one in self.reports)
        return "whole" if whole else "partly"

    @property
    def erased(self) -> list[str]:
        """The calls that are gone."""
        return [call.call_id for call in self.calls if call.action == ERASED]

    @property
    def kept(self) -> list[CallRow]:
        """The calls that stay, and why."""
        return [call for call in self.calls if call.action == KEEP]

    @property
    def backups_until(self) -> date | None:
        """When the last backup is gone from which the erased could be read."""
        return next((one.until for one in self.reports if one.store == BACKUPS and one.state == "beyond_use"), None)

    def document(self) -> dict[str, Any]:
        """Return the document of `request show`."""
        row, subject = self.row, self.file.subject
        own = [call.call_id for call in self.calls if call.action != SINCE]
        return {
            **self.standing.document(),
            "number": subject.number,
            "name": subject.name,
            "window": subject.window.document if subject.window is not None else None,
            "calls": len(own),
            "call_ids": own,
            "opened": {"by": row.opened_by, "at": rfc3339(row.opened_at)},
            "verified": _who(row.verified_by, row.verified_at, method=row.verified_method),
            "approved": _who(row.approved_by, row.approved_at, plan_hash=row.plan_hash),
            "executed": _who(row.executed_by, row.executed_at),
            "completed_at": _time(row.completed_at),
            "ground": row.ground,
            "reasons": dict(self.file.words),
            "extended_on": None if row.extended_on is None else row.extended_on.isoformat(),
            "result": self.result,
            "stores": [store_document(one) for one in self.reports],
            "erased": self.erased,
            "kept": [{"call_id": call.call_id, "reason": call.reason} for call in self.kept],
            "others_since_approval": [call.call_id for call in self.calls if call.action == SINCE],
            "notify": notify(self.notices),
            "history": [
                {"at": rfc3339(one.at), "actor": one.actor, "input": one.input, "state": one.state}
                for one in self.history
            ],
            "commands": [str(given) for given in commands(RequestState(row.state))],
        }

    def letter_facts(self, organisation: str, contact: str = "") -> LetterFacts:
        """Return what letters tell of it."""
        row, words = self.row, self.file.words
        grounds = Counter(ground for call in self.kept if (ground := ground_of(Protection(call.reason))) is not None)
        done = row.completed_at is not None
        extending = row.extended_on is not None and row.ground is None
        return LetterFacts(
            organisation=organisation,
            request_id=row.request_id,
            written_on=self.standing.today,
            deadlines=self.standing.deadlines,
            contact=contact,
            name=self.file.subject.name,
            identity_known=row.verified_at is not None,
            calls_erased=len(self.erased) if done else None,
            completed_on=row.completed_at.astimezone(self.standing.zone).date() if row.completed_at else None,
            kept=[KeptPart(ground, count) for ground, count in grounds.items()],
            waiting=len(self.kept) - grounds.total(),
            outstanding=self.standing.unticked,
            backups_until=self.backups_until,
            recipients=sorted({one.recipient for one in self.notices}),
            ground=None if row.ground is None else Ground(row.ground),
            explanation=words.get("extend" if extending else "refuse", ""),
        )


def check_document(standings: Sequence[Standing]) -> dict[str, Any]:
    """Return the document of `request check`: what is due, the most urgent first."""
    items = [standing.document() for standing in standings]
    ranks = {"breach": 0, "critical": 1, "red": 2, "amber": 3}
    worst = [min((ranks[level] for level in item["levels"].values()), default=len(ranks)) for item in items]
    order = sorted(range(len(items)), key=lambda n: (worst[n], items[n]["promise_due_local_date"]))
    names = {rank: name for name, rank in ranks.items()}
    return {
        "open": sum(1 for standing in standings if standing.row.closed_at is None),
        "overdue": sum(1 for item in items if item["overdue"]),
        "level": names.get(min(worst, default=len(ranks))),
        "next_due": min((item["promise_due_local_date"] for item in items), default=None),
        "items": [items[n] for n in order],
    }


def notify(notices: Sequence[NoticeRow]) -> list[dict[str, Any]]:
    """Return whom to tell that what they were given is erased now (LAW-38)."""
    by_recipient: dict[str, list[NoticeRow]] = {}
    for notice in notices:
        by_recipient.setdefault(notice.recipient, []).append(notice)
    return [
        {
            "recipient": recipient,
            "task": "notify_recipient",
            "call_ids": [one.call_id for one in given],
            "disclosed_at": rfc3339(max(one.disclosed_at for one in given)),
        }
        for recipient, given in sorted(by_recipient.items())
    ]


def store_document(store: StoreRow) -> dict[str, Any]:
    """Return what a store says."""
    return {
        "store": store.store,
        "state": store.state,
        "until": None if store.until is None else store.until.isoformat(),
        "at": _time(store.at),
        "by": store.by,
    }


def unticked(stores: Sequence[str]) -> tuple[str, ...]:
    """Return those of the stores that have not reported which a person has to tick."""
    return tuple(store for store in stores if store not in LIVE_STORES)


def _today(store: StoreRow, today: date) -> StoreRow:
    gone = store.state == "beyond_use" and store.until is not None and today > store.until
    return replace(store, state="erased") if gone else store


def _who(name: str | None, at: datetime | None, **more: str | None) -> Mapping[str, Any] | None:
    return None if at is None else {"by": name, **more, "at": rfc3339(at)}


def _time(at: datetime | None) -> str | None:
    return None if at is None else rfc3339(at)
