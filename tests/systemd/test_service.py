"""The recorder as a service: a test plays systemd, with its socket, its watchdog and its credentials."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.recorder import Plan, Recorder

pytestmark = pytest.mark.alone

WATCHDOG_S = 2.0


@dataclass
class Manager:
    """What systemd would be: a socket that hears the recorder, and the recorder it started."""

    recorder: Recorder
    heard: socket.socket

    def wait_for(self, word: str, timeout: float = 20.0) -> dict[str, str]:
        """Return the first datagram with an assignment such as READY=1."""
        deadline = time.monotonic() + timeout
        said = []
        while (left := deadline - time.monotonic()) > 0:
            self.heard.settimeout(left)
            try:
                text = self.heard.recv(4096).decode()
            except TimeoutError:
                break
            said.append(text)
            if word in text.split("\n"):
                return dict(line.split("=", 1) for line in text.split("\n"))
        raise AssertionError(f"no {word} within {timeout} s; heard {said}\n{self.recorder.tail()}")


@pytest.fixture
def manager() -> Iterator[Manager]:
    """Return a recorder that was started the way systemd starts it; its master key is a credential."""
    recorder = Recorder(Plan())
    credentials = recorder.directory / "credentials"
    credentials.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        address = recorder.directory / "notify"
        heard.bind(str(address))
        recorder.set_up()
        (recorder.directory / "secrets" / "master-key").rename(credentials / "master-key")
        text = recorder.configuration.read_text()
        recorder.configuration.write_text(text.replace(f"{recorder.directory}/secrets/master-key", "master-key"))
        recorder.plan.environment = {
            "NOTIFY_SOCKET": str(address),
            "WATCHDOG_USEC": str(int(WATCHDOG_S * 1_000_000)),
            "CREDENTIALS_DIRECTORY": str(credentials),
        }
        recorder.start(wait=False)
        yield Manager(recorder, heard)
        recorder.close()


def test_the_life_of_a_service(manager: Manager) -> None:
    """Ready once it answers, alive by its watchdog, reloading and ready again, stopping at the end."""
    manager.wait_for("READY=1")
    assert manager.recorder.wait_ready(1.0) < 1.0, "READY=1 was said before the SIP port answered"
    status = manager.recorder.must("status", "--json").json
    assert status["recording"] is True, "the credential was not taken for the master key"
    started = time.monotonic()
    for _ in range(3):
        manager.wait_for("WATCHDOG=1", WATCHDOG_S)
    assert time.monotonic() - started < 3 * WATCHDOG_S / 2
    manager.recorder.process.signal(signal.SIGHUP)
    assert int(manager.wait_for("RELOADING=1", 5)["MONOTONIC_USEC"]) > 0
    manager.wait_for("READY=1", 5)
    manager.recorder.process.signal(signal.SIGTERM)
    manager.wait_for("STOPPING=1", 5)
    assert manager.recorder.process.wait(10) == 0


def test_a_frozen_recorder_gives_no_sign_of_life(manager: Manager) -> None:
    """Only the event loop feeds the watchdog: when it stands still, systemd hears nothing."""
    manager.wait_for("READY=1")
    manager.recorder.process.signal(signal.SIGSTOP)
    manager.heard.settimeout(0)
    try:
        while manager.heard.recv(4096):
            pass
    except BlockingIOError:
        pass
    manager.heard.settimeout(WATCHDOG_S)
    with pytest.raises(TimeoutError):
        manager.heard.recv(4096)
    manager.recorder.process.signal(signal.SIGCONT)
    manager.wait_for("WATCHDOG=1", WATCHDOG_S)
