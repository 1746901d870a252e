"""The way to the broker: client, TLS and password, and what a refusal means."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass

import aiomqtt
from aiomqtt.exceptions import MqttConnectError

from callrec.errors import OperatorError
from callrec.events.topics import OFFLINE, Topics
from callrec.settings import BrokerUrl, Mqtt


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the publisher tries, tells and gives up; tests are in a hurry."""

    first_delay_s: float = 0.25
    longest_delay_s: float = 30.0
    refresh_s: float = 30.0
    """How often the retained documents are sent again."""
    settled_s: float = 10.0
    """A connection that lasted this long begins the back-off anew."""
    timeout_s: float = 5.0
    """How long the broker may take to answer anything."""
    read_back_s: float = 2.0
    """How long to wait for what the broker kept of an earlier run."""
    keepalive_s: int = 20
    window: int = 32
    """Events on their way to the broker at once."""


def back_off_s(attempt: int, pace: Pace, jitter: float) -> float:
    """Return how long to wait after a failed attempt, counted from 0: doubling to a limit, the upper half by chance.

    Args:
        attempt: how many attempts failed before this one.
        pace: the first and the longest delay.
        jitter: from 0 to 1.
    """
    longest = min(pace.longest_delay_s, pace.first_delay_s * float(2 ** min(attempt, 20)))
    return longest * (0.5 + 0.5 * jitter)


async def client_of(url: BrokerUrl, settings: Mqtt, topics: Topics, pace: Pace) -> aiomqtt.Client:
    """Return a client that is not connected yet, its last will set.

    Password and certificates are read anew each time: they may have been replaced.

    Raises:
        OperatorError: if a file cannot be read or holds no certificates.
    """
    password = await asyncio.to_thread(_password, settings)
    context = await asyncio.to_thread(_tls, settings) if url.tls or settings.ca_file else None
    client = aiomqtt.Client(
        url.host,
        url.port,
        username=settings.username or None,
        password=password,
        # One name for each node: a broker that still holds a dead connection of ours lets it go at once.
        identifier=f"callrec-{topics.node_id}",
        will=aiomqtt.Will(topics.state, OFFLINE, qos=1, retain=True),
        clean_session=True,  # what is not acknowledged is in the outbox; the broker has nothing to remember
        timeout=pace.timeout_s,
        keepalive=pace.keepalive_s,
        max_inflight_messages=pace.window,
        tls_context=context,
    )
    client.pending_calls_threshold = pace.window
    return client


def _password(settings: Mqtt) -> str | None:
    """Return the password: the first line of its file."""
    if settings.password_file is None:
        return None
    try:
        return settings.password_file.read_text().partition("\n")[0]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "bytes that are no UTF-8"
        raise OperatorError(
            f"mqtt.password_file {settings.password_file}: found {reason}, expected a file with the broker's password"
        ) from None


def _tls(settings: Mqtt) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise OperatorError(
            f"mqtt.ca_file {settings.ca_file}: found {error}, expected certificates in PEM form"
        ) from None


def why(error: BaseException, settings: Mqtt) -> str:
    """Return in words why the broker cannot be used, and what to do where that is known."""
    text = str(error) or type(error).__name__
    if isinstance(error, MqttConnectError):
        if "authori" in text.casefold() or "user name" in text.casefold():
            user = f"user {settings.username!r}" if settings.username else "a client without user name"
            return f"it refused {user} ({text}): check mqtt.username and mqtt.password_file"
        return f"it refused the connection ({text})"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return f"its certificate is not trusted ({text}): check mqtt.ca_file"
    return text
