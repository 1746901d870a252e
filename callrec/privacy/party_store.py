"""Outside parties in the catalogue: opened, changed as was said, sealed again under a key of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from sqlalchemy import Connection

from callrec.catalogue.documents import SealedField
from callrec.catalogue.indexing import IndexKeys, keyed_hash, name_words
from callrec.catalogue.parties import ContractRow, NumberRow, PartyReader, PartyRow, PartyWrite, write_parties
from callrec.errors import ExitCode, OperatorError
from callrec.privacy.number_history import Span, claimed, first_day
from callrec.privacy.party_changes import Contract, NumberChange, Party, PartyChange, applied, refuse
from callrec.privacy.promise_stores import PromiseStores
from callrec.privacy.retention_classes import PartyKind, Relationship

_A_KEY_BATCH = 100


@dataclass(frozen=True, slots=True)
class PartyPlan:
    """What a change makes of one party."""

    before: Party | None
    after: Party
    histories: Mapping[bytes, list[Span]]
    """The whole history of each number whose holder it changes."""
    others: frozenset[str] = frozenset()
    """Parties from whom a number is taken."""

    @property
    def changed(self) -> bool:
        """Say whether anything but the day of the last word is new."""
        known = self.before
        if known is None or self.histories:
            return True
        return any(
            getattr(known, name) != getattr(self.after, name)
            for name in ("name", "kind", "started_on", "ended_on", "numbers", "contracts")
        )

    @property
    def due(self) -> tuple[str, ...]:
        """Whose calls have to be looked at again."""
        return (self.after.party_id, *sorted(self.others))


@dataclass(slots=True)
class Planned:
    """What several plans made of numbers and parties together: one sees what the ones before it did."""

    histories: dict[bytes, list[Span]] = field(default_factory=dict)
    parties: dict[str, Party] = field(default_factory=dict)
    """By reference."""


class PartyStore:
    """Reads and writes parties. A caller that reads, decides and writes holds a lock of its own meanwhile."""

    def __init__(self, stores: PromiseStores) -> None:
        self._stores = stores
        self.reader = PartyReader(stores.catalogue.rows)

    @property
    def index_keys(self) -> IndexKeys:
        """The keys of the indices; raises OperatorError where there is no keyring."""
        keys = IndexKeys.of(self._stores.keys)
        assert keys is not None, "internal error: a keyring without index keys"
        return keys

    def lookup(self, number: str) -> bytes:
        """Return the keyed hash by which a number in E.164 is found."""
        return keyed_hash(self.index_keys.number, number)

    def ref_lookup(self, ref: str) -> bytes:
        """Return the keyed hash by which a party is found by what people call it."""
        return keyed_hash(self.index_keys.name, f"reference {ref}")

    # Reading

    async def by_ref(self, ref: str) -> Party | None:
        """Return the party that goes by a reference; None where there is none."""
        return (await self.by_refs((ref,))).get(ref)

    async def by_refs(self, refs: Collection[str]) -> dict[str, Party]:
        """Return the parties that go by these references."""
        rows = await self.reader.by_refs([self.ref_lookup(ref) for ref in dict.fromkeys(refs)])
        return {party.ref: party for party in await self._open(rows)}

    async def by_ids(self, party_ids: Collection[str]) -> dict[str, Party]:
        """Return parties by their ids."""
        return {party.party_id: party for party in await self._open(await self.reader.by_ids(party_ids))}

    async def _open(self, rows: Sequence[PartyRow]) -> list[Party]:
        """Open parties; one whose key is gone is erased, and left out."""
        keys = await self._stores.keys.load_many(row.key_id for row in rows)
        known = await self.reader.contracts_of([row.party_id for row in rows])

        def opened() -> list[Party]:
            return [
                self._opened(row, keys[row.key_id], known.get(row.party_id, [])) for row in rows if row.key_id in keys
            ]

        return opened() if len(rows) <= _A_KEY_BATCH else await asyncio.to_thread(opened)

    def _opened(self, row: PartyRow, key: bytes, contracts: Sequence[ContractRow]) -> Party:
        body = SealedField("parties", row.party_id).open(self._stores.keys, key, row.body)
        return Party(
            party_id=row.party_id,
            ref=body["ref"],
            kind=PartyKind(row.kind),
            name=body["name"],
            started_on=row.started_on,
            ended_on=row.ended_on,
            confirmed_on=row.confirmed_on,
            numbers=tuple(body["numbers"]),
            contracts=tuple(
                Contract(each.contract_id, body["contracts"].get(each.contract_id, ""), each.starts_on, each.ends_on)
                for each in contracts
            ),
        )

    async def relationships(self, party_ids: Collection[str]) -> dict[str, Relationship]:
        """Return what retention needs to know of parties; no key is needed for it."""
        rows = await self.reader.by_ids(party_ids)
        known = await self.reader.contracts_of([row.party_id for row in rows])
        return {
            row.party_id: Relationship(
                PartyKind(row.kind),
                row.ended_on,
                tuple(each.ends_on for each in known.get(row.party_id, [])),
                row.confirmed_on,
            )
            for row in rows
        }

    async def histories(self, lookups: Collection[bytes]) -> dict[bytes, list[Span]]:
        """Return who holds and held numbers."""
        return {
            lookup: [Span(row.party_id, row.since, row.until) for row in rows]
            for lookup, rows in (await self.reader.histories(lookups)).items()
        }

    # Planning

    async def plan(
        self, changes: Sequence[PartyChange], today: date, planned: Planned | None = None
    ) -> list[PartyPlan]:
        """Return what changes would make of parties, in their order; nothing is written.

        Args:
            changes: what is said.
            today: the local date.
            planned: what earlier plans of the same import have made; it is added to.

        Raises:
            OperatorError: with exit code 2 if a change cannot be, 75 if its party is being erased.
        """
        planned = planned or Planned()
        refs = {change.ref for change in changes} - planned.parties.keys()
        rows = await self.reader.by_refs([self.ref_lookup(ref) for ref in refs])
        known = await self._open(rows)
        if len(known) < len(rows):
            message = "one of these relationships is being erased just now; try again in a minute"
            raise OperatorError(message, exit_code=ExitCode.BUSY)
        planned.parties |= {party.ref: party for party in known}
        lookups = {self.lookup(one.number) for change in changes for one in change.numbers}
        fresh = lookups - planned.histories.keys()
        found = await self.histories(fresh)
        planned.histories |= {lookup: found.get(lookup, []) for lookup in fresh}
        return [self._plan(change, today, planned) for change in changes]

    def _plan(self, change: PartyChange, today: date, planned: Planned) -> PartyPlan:
        before = planned.parties.get(change.ref)
        after = applied(before, change, today)
        # A beginning that was known before says nothing about a number that comes to the party now.
        news = change.since is not None and (before is None or change.since != before.started_on)
        moved_on = change.since if change.since is not None and news else today
        histories: dict[bytes, list[Span]] = {}
        holders: set[str] = set()
        for one in change.numbers:
            lookup = self.lookup(one.number)
            old = planned.histories[lookup]
            new = _with_number(old, one, after, (moved_on, today))
            if new != old:
                holders |= {span.party_id for span in old}
                histories[lookup] = planned.histories[lookup] = new
        planned.parties[change.ref] = after
        return PartyPlan(before, after, histories, frozenset(holders - {after.party_id}))

    # Writing

    async def write(
        self, plans: Sequence[PartyPlan], told_on: date, *, also: Callable[[Connection], None] | None = None
    ) -> None:
        """Store what was planned, in one transaction; parties of which nothing is new are noted as lasting.

        Args:
            plans: what is to be, each party once.
            told_on: the local date.
            also: what is to be written in the same transaction.

        Raises:
            StorageUnavailable: if it is not durable in time; then nothing of it is stored.
            KeysUnavailable: if no key can be made for a new party.
        """
        changed = [plan for plan in plans if plan.changed]
        same = [plan.after.party_id for plan in plans if not plan.changed]
        key_ids = {row.party_id: row.key_id for row in await self.reader.by_ids(_known_ids(changed))}
        keys = await self._keys(changed, key_ids)

        def sealed() -> list[PartyWrite]:
            return [self._write_of(plan, *keys[plan.after.party_id]) for plan in changed]

        writes = sealed() if len(changed) <= _A_KEY_BATCH else await asyncio.to_thread(sealed)

        def run(connection: Connection, tell: object) -> None:
            del tell
            write_parties(connection, writes, same, told_on)
            if also is not None:
                also(connection)

        await self._stores.catalogue.transact(run)

    async def _keys(self, plans: Sequence[PartyPlan], key_ids: Mapping[str, str]) -> dict[str, tuple[str, bytes]]:
        """Return each party's key and its id; a new party gets one, durable before anything is sealed with it."""
        ring = self._stores.keys
        known = await ring.load_many(key_ids.values())
        keys = {party_id: (key_id, known[key_id]) for party_id, key_id in key_ids.items() if key_id in known}
        new = [party_id for party_id in dict.fromkeys(plan.after.party_id for plan in plans) if party_id not in keys]
        made = await asyncio.gather(*(ring.new_key("party") for _ in new))
        return keys | dict(zip(new, made, strict=True))

    def _write_of(self, plan: PartyPlan, key_id: str, key: bytes) -> PartyWrite:
        party, keys = plan.after, self.index_keys
        body = {
            "ref": party.ref,
            "name": party.name,
            "numbers": party.numbers,
            "contracts": {contract.contract_id: contract.ref for contract in party.contracts},
        }
        row = PartyRow(
            party_id=party.party_id,
            ref_lookup=self.ref_lookup(party.ref),
            kind=party.kind.value,
            started_on=party.started_on,
            ended_on=party.ended_on,
            confirmed_on=party.confirmed_on,
            key_id=key_id,
            body=SealedField("parties", party.party_id).seal(self._stores.keys, key, body),
        )
        return PartyWrite(
            row=row,
            is_new=plan.before is None,
            words=tuple(keyed_hash(keys.name, word) for word in name_words(party.name or "")),
            contracts=tuple(
                ContractRow(party.party_id, each.contract_id, each.starts_on, each.ends_on) for each in party.contracts
            ),
            histories={
                lookup: [NumberRow(lookup, span.since, span.until, span.party_id) for span in spans]
                for lookup, spans in plan.histories.items()
            },
            due=plan.due,
        )


def _known_ids(plans: Iterable[PartyPlan]) -> list[str]:
    return [plan.after.party_id for plan in plans if plan.before is not None]


def _with_number(history: list[Span], change: NumberChange, party: Party, moved: tuple[date, date]) -> list[Span]:
    """Return a number's history once it is said to be a party's.

    Args:
        history: who holds and held it.
        change: what is said.
        party: of whom it is said.
        moved: the day on which it moves from another, and the local date.
    """
    since = change.since or first_day(history, party.party_id, *moved)
    if since is None:
        if change.until is None:
            return history
        since = next(span.since for span in history if span.until is None)
    if change.until is not None and change.until <= since:
        refuse(f"relationship {party.ref}: found a number until {change.until}, which it has since {since}")
    return claimed(history, Span(party.party_id, since, change.until))
