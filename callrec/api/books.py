"""What the API asks of the books of promises: relationships, retention, requests, and what nobody may touch.

Every method returns a document ready for JSON: dates as `2026-11-22`, instants in RFC 3339. `actor` is the account that
asks. Errors are OperatorError with the exit code to tell; then nothing was changed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Protocol

Document = Mapping[str, Any]


class Relationships(Protocol):
    """Who the outside parties are, whose a number was when, and since when they are ours."""

    async def set(  # noqa: PLR0913 - the fields of one party
        self,
        ref: str,
        *,
        name: str | None = None,
        numbers: Iterable[str | Mapping[str, Any]] = (),
        kind: str | None = None,
        since: date | str | None = None,
        contracts: Iterable[Mapping[str, Any]] = (),
        actor: str,
        idempotency_key: str | None = None,
    ) -> Document:
        """Say what is known of a party, new or old; what is not named stays as it is."""

    async def show(self, ref: str) -> Document:
        """Return what is known of a party; 3 where it is unknown."""

    async def end(self, ref: str, on: date, actor: str) -> Document:
        """Say on which day a relationship ended."""

    async def import_file(self, csv_text: str, map_text: str, *, dry_run: bool, actor: str) -> Document:
        """Take over what a CSV file says, all or nothing; 2 with a sentence for each wrong line."""


class Retention(Protocol):
    """How long each call is kept, and what is to go now."""

    async def show(self) -> Document:
        """Return the classes in force and the last run."""

    async def explain(self, prefix: str) -> Document:
        """Return why a call still exists and when it goes."""

    def plan(self, at: date | None) -> AsyncIterator[Document]:
        """Give every call that a run of a day would delete, and last the sums with their `hash`."""

    def simulate(self, classes: Sequence[Document], at: date | None) -> AsyncIterator[Document]:
        """Give every call whose end would move under changed classes, and last the sums."""

    async def approve(self, hash: str, actor: str) -> Document:  # noqa: A002 - the word of the contract
        """Approve the plan of that hash."""

    async def run(self, actor: str) -> Document:
        """Delete what is due; 5 where somebody has to approve it first."""


class Requests(Protocol):
    """The deletion requests."""

    async def new(  # noqa: PLR0913 - all that a request may say
        self,
        *,
        number: str | None = None,
        name: str | None = None,
        calls: Sequence[str] = (),
        window: Document | None = None,
        channel: str,
        received_at: datetime | None = None,
        actor: str,
        idempotency_key: str | None = None,
    ) -> Document:
        """Take a request in."""

    async def list(self, open_only: bool) -> Document:  # noqa: FBT001 - the one choice there is
        """Return the requests, the most urgent first."""

    async def show(self, request_id: str) -> Document:
        """Return all that is known of a request; a unique beginning of its id names it, here and below."""

    async def verify(
        self, request_id: str, method: str, *, evidence_at: datetime | None = None, failed: bool = False, actor: str
    ) -> Document:
        """Say how it was found out who asks, or that it could not be."""

    async def approve(self, request_id: str, actor: str) -> Document:
        """Authorise it: the plan of what goes and what stays is saved."""

    async def refuse(self, request_id: str, ground: str, reason: str, actor: str) -> Document:
        """Refuse it on a ground of the law."""

    async def extend(self, request_id: str, notice_date: date, reasons: str, actor: str) -> Document:
        """Take two further months for the statutory answer."""

    async def withdraw(self, request_id: str, reason: str, actor: str) -> Document:
        """Note that the person wishes it no more."""

    async def execute(self, request_id: str, actor: str) -> Document:
        """Erase what the approved plan says, in every store."""

    async def tick(self, request_id: str, store: str, actor: str) -> Document:
        """Confirm that a store outside callrec has erased, too."""

    async def letter(self, request_id: str, kind: str) -> Document:
        """Return a letter to the person, as `text`."""

    async def certificate(self, request_id: str) -> Document:
        """Return the signed certificate of what was erased."""

    async def check(self) -> Document:
        """Return the open requests, and how urgent each is."""


class Protections(Protocol):
    """Stops, holds and restrictions."""

    async def stop_add(
        self, *, number: str | None = None, party: str | None = None, discard: bool = False, reason: str, actor: str
    ) -> Document:
        """Never record somebody again, from now on, on either side of a call."""

    async def stop_list(self) -> Document:
        """Return who is never recorded."""

    async def stop_remove(self, stop_id: str, actor: str) -> Document:
        """Lift a stop."""

    async def stop_discard(self, stop_id: str, actor: str) -> Document:
        """Destroy what calls had stored that were live when a stop ended their recording."""

    async def protect(  # noqa: PLR0913 - what is protected, by whom, why and until when it is looked at again
        self,
        kind: str,
        *,
        ids: Sequence[str] = (),
        number: str | None = None,
        party: str | None = None,
        reason: str,
        review: date,
        actor: str,
        idempotency_key: str | None = None,
    ) -> Document:
        """Place a hold, an access hold or a restriction on calls, and on those to come of a number or a party."""

    async def list(self, kind: str | Collection[str]) -> Document:
        """Return those of a kind, or of several, that are in force."""

    async def release(self, protection_id: str, actor: str, reason: str) -> Document:
        """Lift one; requests that waited for it go on by themselves."""


class Promises(Protocol):
    """The four books."""

    @property
    def relationships(self) -> Relationships:
        """Return the book of relationships."""

    @property
    def retention(self) -> Retention:
        """Return the book of retention."""

    @property
    def requests(self) -> Requests:
        """Return the book of requests."""

    @property
    def protections(self) -> Protections:
        """Return the book of stops, holds and restrictions."""
