"""Real programs under test: started with their output in a file, waited for with a limit, ended by their own id."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tests.support.ports import free_port

STEP_S = 0.02


def wait_until(condition: Callable[[], bool], what: str, timeout: float = 10.0) -> None:
    """Wait for a condition that this process cannot be told about; fail with its name."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"within {timeout} s: {what}")
        threading.Event().wait(STEP_S)


def program(name: str) -> str:
    """Return the path of a program; its absence fails the test, for ./test installs what tests need."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    assert found, f"{name} is missing: ./test installs it"
    return found


class Program:
    """A running program; a `with` block ends it."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        *,
        directory: Path | None = None,
    ) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                cwd=directory,
            )

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, timeout: float = 10.0) -> int:
        """Return the exit code of a program that ends by itself."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"{self.process.args!r} did not end within {timeout} s:\n{self.output[-4000:]}"
            ) from None

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        if self.running:
            self.process.kill()
        self.process.wait(10)

    def stop(self, timeout: float = 10.0) -> int:
        """Ask it to end; kill it where it does not."""
        if self.running:
            self.process.terminate()
            try:
                return self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Mosquitto:
    """A real broker on a port of its own, which can be stopped and started again with what it had stored."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self._configuration = directory / "mosquitto.conf"
        self._configuration.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\n"
            f"persistence_location {directory}/\nuser root\nmax_queued_messages 100000\n"
        )
        self._program: Program | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> Self:
        command = [program("mosquitto"), "-c", str(self._configuration)]
        self._program = Program(command, self.directory / "mosquitto.log")
        wait_until(self._listens, "mosquitto listens")
        return self

    def stop(self) -> None:
        if self._program is not None:
            self._program.stop()

    def kill(self) -> None:
        if self._program is not None:
            self._program.kill()

    def signal(self, number: signal.Signals) -> None:
        """Freeze it, or let it go on."""
        assert self._program is not None, "the broker was not started"
        self._program.signal(number)

    def _listens(self) -> bool:
        assert self._program is not None
        assert self._program.running, f"mosquitto ended:\n{self._program.output}"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


class MqttCollector:
    """A subscriber that keeps everything below `callrec/`, in the order of arrival, over restarts of the broker."""

    def __init__(self, port: int, topic: str = "callrec/#") -> None:
        # Imported here: most tests need no broker.
        from paho.mqtt.client import Client, MQTTMessage  # noqa: PLC0415 — see above
        from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion  # noqa: PLC0415 — see above

        self._news = threading.Condition()
        self.messages: list[tuple[str, bytes, bool]] = []
        """Topic, payload, and whether it was retained."""
        self._subscribed = threading.Event()
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id="collector",
            protocol=MQTTProtocolVersion.MQTTv311,
            clean_session=False,
        )
        self._client.reconnect_delay_set(1, 1)

        def connected(client: Client, *_: Any) -> None:
            client.subscribe(topic, qos=1)

        def arrived(_client: Client, _data: Any, message: MQTTMessage) -> None:
            with self._news:
                self.messages.append((message.topic, bytes(message.payload), message.retain))
                self._news.notify_all()

        self._client.on_connect = connected
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = arrived
        self._client.connect("127.0.0.1", port, keepalive=10)
        self._client.loop_start()
        assert self._subscribed.wait(10), "the broker took no subscription within 10 s"

    @property
    def events(self) -> list[dict[str, Any]]:
        """Return the events that arrived, repeated ones too."""
        with self._news:
            return [json.loads(payload) for topic, payload, _ in self.messages if "/event/" in topic]

    def retained(self, node: str, name: str) -> bytes | None:
        """Return the last payload of a state topic."""
        with self._news:
            found = [payload for topic, payload, _ in self.messages if topic == f"callrec/{node}/{name}"]
        return found[-1] if found else None

    def wait_for(self, condition: Callable[[list[dict[str, Any]]], bool], what: str, timeout: float = 20.0) -> None:
        """Wait until the events satisfy a condition."""
        with self._news:
            arrived = self._news.wait_for(lambda: condition(self.events), timeout)
        assert arrived, f"within {timeout} s: {what}; arrived: {[event['type'] for event in self.events]}"

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
