"""The stop list as people keep it: who is never recorded, from when on, and at whose word (LAW-39, LAW-40).

A stop counts for new calls and for live ones as soon as it is stored. It lasts longer than what was recorded before:
erasing the person keeps it, under a key of its own, with no more than the number or the reference.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from callrec.catalogue.documents import SealedField
from callrec.catalogue.erasure import LedgerDue
from callrec.catalogue.protections import StopRow, add_stop, mark_stopped, note_stopped, remove_stop
from callrec.catalogue.values import AuditEntry
from callrec.clock import rfc3339
from callrec.errors import ExitCode, IntegrityError, OperatorError
from callrec.identifiers import new_id
from callrec.privacy.erasing import Reason
from callrec.privacy.promise_people import Parties, Whom, clean_prefix, find_whom, name_of, the_one
from callrec.privacy.wishes_in_force import LiveStop, WishesInForce


class StopBook:
    """Adds, lists and removes stops; each method returns a document for people and programs."""

    def __init__(self, in_force: WishesInForce, parties: Parties | None) -> None:
        self._in_force = in_force
        self._stores = in_force.stores
        self._parties = parties
        self._one_at_a_time = asyncio.Lock()

    async def add(
        self, *, number: str | None, party: str | None, discard: bool, reason: str, actor: str
    ) -> dict[str, Any]:
        """Record nobody of this number, or of this party, from now on.

        Args:
            number: in any spelling; matched against both sides of a call, as shown, as the network has it, and hidden.
            party: what people call a party; its numbers count, as they change.
            discard: whether what live calls stored goes too; otherwise it stays, and `discard` may still follow.
            reason: in whose words; sealed.
            actor: who asked for it.

        Returns `id`, `known` (it was in force already), `live` (calls whose recording ended now), `discarded`, and
        `discard_offered` (something of them is still stored).

        Raises:
            OperatorError: if it names nobody (2, 3), or there are no keys (7).
            StorageUnavailable: if it cannot be stored; then nothing was changed.
        """
        whom = await self._whom(number, party)
        numbers = await self._in_force.numbers_of(whom.party_id, self._stores.today())
        async with self._one_at_a_time:
            row = await self._in_force.reader.stop_of(lookup=whom.lookup, party_id=whom.party_id)
            known = row is not None
            row = row or await self._store(whom, numbers, reason, actor)
        live = self._in_force.live
        stopped = live.stop(live.speaking(self._in_force.only(whom, numbers)), discard=discard)
        await self._note(row.stop_id, stopped)
        answer = {"id": row.stop_id, "known": known, **_live(stopped)}
        told = {"stop": row.stop_id, **whom.masked, "discard": discard, "live": answer["live"]}
        await self._finish(actor, "stop add", told)
        return answer

    async def _whom(self, number: str | None, party: str | None) -> Whom:
        country = self._stores.settings().org.country
        return await find_whom(number, party, keys=self._in_force.index_keys, parties=self._parties, country=country)

    async def _store(self, whom: Whom, numbers: set[bytes], reason: str, actor: str) -> StopRow:
        stop_id = new_id()
        key_id, key = await self._stores.keys.new_key("stop")
        body = _body(stop_id).seal(self._stores.keys, key, {**whom.document, "reason": reason})
        row = StopRow(stop_id, key_id, body, whom.lookup, whom.party_id, self._stores.now(), actor)
        due = LedgerDue("stop", {"id": stop_id, "what": "made"})
        await self._stores.catalogue.transact(lambda connection, _: add_stop(connection, row, numbers, due))
        self._in_force.add_stop(row, numbers)
        return row

    async def _note(self, stop_id: str, stopped: Sequence[LiveStop]) -> None:
        if left := [one.call_id for one in stopped if one.left]:
            await self._stores.catalogue.transact(lambda connection, _: note_stopped(connection, stop_id, left))

    async def show_all(self) -> dict[str, Any]:
        """Return the stops in force, the oldest first."""
        rows = await self._in_force.reader.stops()
        keys = await self._stores.keys.load_many(row.key_id for row in rows if row.key_id is not None)
        return {"items": [self._document(row, keys.get(row.key_id or "")) for row in rows]}

    def _document(self, row: StopRow, key: bytes | None) -> dict[str, Any]:
        opened: dict[str, Any] = {}
        # What cannot be opened counts all the same: the list is made of keyed hashes.
        with contextlib.suppress(IntegrityError):
            if key is not None and row.body is not None:
                opened = _body(row.stop_id).open(self._stores.keys, key, row.body)
        about = {**name_of(opened), "reason": opened.get("reason")}
        return {"id": row.stop_id, **about, "added_at": rfc3339(row.added_at), "added_by": row.added_by}

    async def remove(self, prefix: str, actor: str) -> dict[str, Any]:
        """Let calls be recorded again; what the stop knew of a person is destroyed.

        Raises:
            OperatorError: if there is no such stop (3), or several (2).
        """
        row = await self._named(prefix)
        due = LedgerDue("stop", {"id": row.stop_id, "what": "lifted"})
        at = self._stores.now()
        lifted = await self._stores.catalogue.transact(
            lambda connection, _: remove_stop(connection, row.stop_id, at, actor, due)
        )
        self._in_force.remove_stop(row.stop_id)
        if row.key_id is not None:
            await self._stores.keys.destroy([row.key_id])
        if lifted:
            await self._finish(actor, "stop remove", {"stop": row.stop_id})
        return {"id": row.stop_id, "removed": lifted}

    async def discard(self, prefix: str, actor: str) -> dict[str, Any]:
        """Discard what calls had stored that were live when a stop ended their recording (LAW-39).

        Returns `discarded`, and `kept` with the reason: a hold beats it (LAW-53).

        Raises:
            OperatorError: if there is no such stop (3), or several (2).
        """
        row = await self._named(prefix)
        wanted = await self._in_force.reader.calls_stopped(row.stop_id)
        now = self._in_force.live.stop(wanted, discard=True)
        discarded = [one.call_id for one in now if one.discarded]
        over = {one.call_id for one in await self._in_force.reader.over(wanted)}
        live = {one.call_id for one in now}
        ended = [call_id for call_id in wanted if call_id not in live and call_id not in over]
        discarded += await self._discard_ended(ended)
        kept = [{"call_id": one, "reason": "under a hold or restriction"} for one in wanted if one in over]
        answer = {"id": row.stop_id, "discarded": discarded, "kept": kept}
        await self._finish(actor, "stop discard", {"stop": row.stop_id, "discarded": discarded})
        return answer

    async def _discard_ended(self, call_ids: Sequence[str]) -> list[str]:
        """Destroy the audio of ended calls and give them the outcome of a call that was stopped; their rows stay."""
        catalogue = self._stores.catalogue
        there = [
            (target.call_id, target.audio_key_id, target.recording_id)
            for target in await catalogue.erasure_targets(call_ids)
            if not target.erased and not target.in_progress and target.audio_key_id is not None
        ]
        if there:
            # The outcome first: a start completes the discard of a call that says it is not recorded.
            ids = [call_id for call_id, _, _ in there]
            await catalogue.transact(lambda connection, _: mark_stopped(connection, ids))
        for call_id, audio_key_id, recording_id in there:
            await self._stores.erasing.discard_audio(call_id, audio_key_id, recording_id, reason=Reason.STOP)
        return [call_id for call_id, _, _ in there]

    async def _named(self, prefix: str) -> StopRow:
        found = await self._in_force.reader.stops_named(clean_prefix(prefix, "stop"))
        row: StopRow = the_one(found, prefix, "stop")
        if row.removed_at is not None:
            raise OperatorError(f"stop {row.stop_id}: it is removed already", exit_code=ExitCode.NOT_FOUND)
        return row

    async def _finish(self, actor: str, action: str, detail: dict[str, Any]) -> None:
        await self._stores.catalogue.record_audit(AuditEntry(actor, action, None, detail))
        await self._in_force.pay_ledger()


def _body(stop_id: str) -> SealedField:
    return SealedField("stops", stop_id)


def _live(stopped: Sequence[LiveStop]) -> dict[str, Any]:
    return {
        "live": [one.call_id for one in stopped],
        "discarded": [one.call_id for one in stopped if one.discarded],
        "discard_offered": any(one.left for one in stopped),
    }
