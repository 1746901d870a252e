"""baresip as a telephone: another project's SIP, RTP and codecs (Debian's baresip). It sounds one tone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from demonstration.telephony.messages import Address
from tests.support.processes import Program, program, wait_until

_CONFIGURATION = """
poll_method epoll
sip_listen {host}:{port}
net_interface {host}
audio_source ausine,{hertz}
ausrc_srate 48000
ausrc_channels 2
rtp_timeout 0
module_path /usr/lib/baresip/modules
module g722.so
module opus.so
module g711.so
module ausine.so
module_app account.so
module_app menu.so
"""
_BIT_RATES = re.compile(r"audio=(\d+)/(\d+) \(bit/s\)")


@dataclass(frozen=True)
class Set:
    """What a telephone is set to."""

    user: str
    address: Address
    hertz: int
    codecs: str
    """As baresip writes them, such as `G722/16000/1,PCMA`."""
    more: str = ""
    """Lines added to its configuration."""
    parameters: str = ""
    """Added to its account, such as `;ptime=40`."""


class Baresip:
    """A telephone that answers every call at once; a `with` block ends it."""

    def __init__(self, given: Set, directory: Path, dial: str = "", seconds: int = 0) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        host, port = given.address
        text = _CONFIGURATION.format(host=host, port=port, hertz=given.hertz) + given.more
        (directory / "config").write_text(text)
        account = f"<sip:{given.user}@{host}:{port}>;regint=0;answermode=auto;audio_codecs={given.codecs}"
        (directory / "accounts").write_text(account + given.parameters + "\n")
        (directory / "contacts").touch()
        command = [program("baresip"), "-f", str(directory), "-v"]
        command += ["-t", str(seconds)] if seconds else []
        command += ["-e", f"/dial {dial}"] if dial else []
        self.program = Program(command, directory / "output.log", directory=directory)
        wait_until(lambda: "baresip is ready" in self.program.output, f"{given.user} is ready", 15)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.program.stop()

    def finish(self) -> None:
        """Wait until it has ended by itself."""
        self.program.wait(40)

    @property
    def bit_rates(self) -> tuple[int, int]:
        """Return the most bits a second that it sent and received; it shows each for three seconds at a time."""
        shown = _BIT_RATES.findall(self.program.output)
        assert shown, self.program.output[-2000:]
        return max(int(sent) for sent, _ in shown), max(int(received) for _, received in shown)
