"""Keeping promises while the recorder runs: the books are made here, and what is due is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from callrec.privacy.promise_stores import PromiseStores
from callrec.privacy.promises import Promises
from callrec.privacy.relationships import Relationships
from callrec.privacy.request_watch import RequestWatch
from callrec.recorder.live_call import LiveCall
from callrec.recorder.protecting import make_protections
from callrec.recorder.requesting import make_requests
from callrec.recorder.retaining import make_retention
from callrec.recorder.tools import Tools


def promise_stores(tools: Tools) -> PromiseStores:
    """Return what the books write to: the recorder's own stores, and the configuration in force."""
    stores = tools.stores
    return PromiseStores(
        stores.catalogue, tools.clock, lambda: tools.settings, stores.keyring, stores.ledger, stores.eraser
    )


def make_promises(tools: Tools, calls: Callable[[], Iterator[LiveCall]]) -> Promises:
    """Return the books over the recorder's stores and its live calls; each is joined here."""
    promises = Promises()
    stores = promise_stores(tools)
    promises.protections = make_protections(tools, stores, calls, promises)
    promises.relationships = Relationships(stores, holds_of=promises.protections.holds_of)
    promises.retention = make_retention(tools, stores)
    promises.requests = make_requests(tools, stores, promises.relationships, promises.protections)
    promises.watch = RequestWatch(stores, promises.requests)
    promises.requests.on_change = promises.watch.look
    return promises
