"""Events on MQTT: the publisher that empties the outbox, its topics and its schemas."""

from callrec.events.connection import Pace
from callrec.events.outbox import OutboxEvent, OutboxPort
from callrec.events.publisher import BrokerState, Publisher
from callrec.events.schema import EVENT_TYPES, load_retained_schema, load_schema
from callrec.events.topics import Topics

__all__ = [
    "EVENT_TYPES",
    "BrokerState",
    "OutboxEvent",
    "OutboxPort",
    "Pace",
    "Publisher",
    "Topics",
    "load_retained_schema",
    "load_schema",
]
