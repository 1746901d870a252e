"""The book of deletion requests as far as it is read: lists, one request, letters, certificates, and what is due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from callrec.catalogue.requests import RequestReader, RequestRow
from callrec.errors import ExitCode, OperatorError
from callrec.privacy.certificates import CertificateFacts, issue
from callrec.privacy.letters import Letter, read_letter, write
from callrec.privacy.promise_people import clean_prefix, the_one
from callrec.privacy.promise_stores import PromiseStores
from callrec.privacy.request_file import RequestFile, clocks_of
from callrec.privacy.request_views import Standing, Whole, check_document, unticked


class RequestReadings:
    """Reads requests; each method returns a document for people and programs."""

    def __init__(self, stores: PromiseStores) -> None:
        self._stores = stores

    @property
    def reader(self) -> RequestReader:
        """The requests as they are stored."""
        return RequestReader(self._stores.catalogue.rows)

    async def list(self, open_only: bool) -> dict[str, Any]:  # noqa: FBT001 - the one choice there is
        """Return the requests, those whose promise ends first at the top."""
        rows = await self.reader.all(open_only=open_only)
        counts = await self.reader.counts([row.request_id for row in rows])
        waiting = await self.reader.outstanding()
        items = [
            {**self._standing(row, waiting.get(row.request_id, ())).document(), "calls": counts.get(row.request_id, 0)}
            for row in rows
        ]
        return {"items": items}

    async def show(self, request_id: str) -> dict[str, Any]:
        """Return all that is known of a request; a unique prefix of its id names it, here and below."""
        row = await self._named(request_id)
        return {**(await self._whole(row)).document(), "problem": self._problem(row.request_id)}

    def _problem(self, request_id: str) -> str | None:
        """Return why a request that is under way goes on later; only who executes knows it."""
        del request_id
        return None

    async def check(self) -> dict[str, Any]:
        """Return how urgent every request is whose clocks run."""
        return check_document(await self.standings())

    async def standings(self) -> Sequence[Standing]:
        """Return every request of which something may still be due."""
        waiting = await self.reader.outstanding()
        return [self._standing(row, waiting.get(row.request_id, ())) for row in await self.reader.running()]

    async def letter(self, request_id: str, kind: str) -> dict[str, Any]:
        """Return a letter to the person; raises OperatorError if it would tell what has not happened (5)."""
        letter = read_letter(kind)
        whole = await self._whole(await self._named(request_id))
        if letter is Letter.EXTENSION and whole.row.extended_on is None:
            raise OperatorError(
                "an extension letter needs a request that is extended; `callrec request extend` does it",
                exit_code=ExitCode.REFUSED,
            )
        organisation = self._stores.settings().org
        facts = whole.letter_facts(organisation.name, organisation.contact)
        if letter is Letter.EXTENSION:
            facts = replace(facts, explanation=whole.file.words.get("extend", ""))
        if letter is Letter.REFUSAL:
            facts = replace(facts, explanation=whole.file.words.get("refuse", ""))
        return {"id": whole.row.request_id, "kind": letter.value, "text": write(letter, facts)}

    async def certificate(self, request_id: str) -> dict[str, Any]:
        """Return the signed certificate of an executed request.

        Raises:
            OperatorError: with exit code 5 if nothing was executed and verified yet, 7 without keys.
        """
        whole = await self._whole(await self._named(request_id))
        row = whole.row
        if row.completed_at is None or row.executed_at is None or whole.result is None:
            raise OperatorError(
                f"request {row.request_id} is {row.state}; a certificate is issued once it is executed and verified",
                exit_code=ExitCode.REFUSED,
            )
        stores = [{"store": one.store, "state": one.state, "until": _iso(one.until)} for one in whole.reports]
        facts = CertificateFacts(
            node=self._stores.settings().node.id,
            request_id=row.request_id,
            state=row.state,
            result=whole.result,
            issued_at=self._stores.now(),
            executed_at=row.executed_at,
            completed_at=row.completed_at,
            verified_by=row.verified_by or "",
            approved_by=row.approved_by or "",
            executed_by=row.executed_by or "",
            plan_hash=row.plan_hash or "",
            erased=whole.erased,
            kept=[{"call_id": call.call_id, "reason": call.reason} for call in whole.kept],
            stores=stores,
            beyond_use_until=whole.backups_until,
            ledger=self._stores.tombstones.head.as_document(),
        )
        return issue(facts, self._stores.keys.system_key("signing"))

    # How

    async def _named(self, request_id: str) -> RequestRow:
        found = await self.reader.named(clean_prefix(request_id, "request"))
        row: RequestRow = the_one(found, request_id, "request")
        return row

    async def _file(self, row: RequestRow) -> RequestFile:
        return RequestFile.open(self._stores.keys, await self._stores.keys.load(row.key_id), row)

    def _standing(self, row: RequestRow, waiting: Sequence[str]) -> Standing:
        zone, now = self._stores.zone, self._stores.now()
        clocks = clocks_of(row, zone, self._stores.settings().privacy.bank_holidays)
        return Standing(row, clocks, unticked(waiting), now, zone)

    async def _whole(self, row: RequestRow) -> Whole:
        request_id = row.request_id
        stores = await self.reader.stores_of(request_id)
        waiting = [one.store for one in stores if one.state == "outstanding"]
        return Whole(
            self._standing(row, waiting),
            await self._file(row),
            await self.reader.calls_of(request_id),
            stores,
            await self.reader.notices_of(request_id),
            await self.reader.history_of(request_id),
        )


def _iso(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
