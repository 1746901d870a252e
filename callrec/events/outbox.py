"""What the publisher needs of the outbox; the catalogue has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class OutboxEvent(Protocol):
    """An event that waits: its number and the CloudEvents document."""

    @property
    def sequence(self) -> int:
        """Its place in the never-reset order of this node."""
        ...

    @property
    def noun(self) -> str:
        """What it is about."""
        ...

    @property
    def verb(self) -> str:
        """What happened."""
        ...

    @property
    def document(self) -> Mapping[str, Any]:
        """The CloudEvents document, with the same id whenever it is read."""
        ...


class OutboxPort(Protocol):
    """Events in their order, and how far they are published."""

    async def pending(self, limit: int, /) -> Sequence[OutboxEvent]:
        """Return the next events that are not marked as published, at most `limit`, in order."""
        ...

    async def mark_published(self, upto: int, /) -> None:
        """Note durably that every event up to this number is published."""
        ...
