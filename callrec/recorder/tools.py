"""What carrying out a command needs: the stores, the wires, and a way to tell the call what came of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from callrec.calls.inputs import Input
from callrec.clock import Clock
from callrec.identifiers import RandomBytes
from callrec.privacy.stop_list import StopList
from callrec.recorder.codec_memory import CodecMemory
from callrec.sip.dialog import is_literal

if TYPE_CHECKING:
    from callrec.media import MediaService
    from callrec.recorder.health import Health
    from callrec.recorder.live_call import LiveCall
    from callrec.recorder.prompts import Prompts
    from callrec.recorder.stores import Stores
    from callrec.recorder.tracing import Tracing
    from callrec.settings import Settings
    from callrec.signalling import Driver


@dataclass
class Tools:
    """The recorder's hands; one for each process."""

    settings: Settings
    clock: Clock
    random: RandomBytes
    driver: Driver
    media: MediaService
    stores: Stores
    prompts: Prompts
    health: Health
    feed: Callable[[LiveCall, Input], None]
    """Tell a call something and carry out what it asks for."""
    register: Callable[[LiveCall], None]
    """Find the call by the dialogs of its legs, as they are now."""
    forget: Callable[[LiveCall], None]
    """The call is over and its row is closed."""

    call_of: Callable[[str], LiveCall | None] = lambda _: None
    """Return the live call that a SIP leg belongs to; the hall gives it."""
    stop_list: StopList = field(default_factory=StopList)
    """Who is never recorded; as long as it is not known, nobody is."""
    codec_memory: CodecMemory = field(default_factory=CodecMemory)
    tracing: Tracing | None = None
    """What the signalling of calls is kept by; None where it is not."""
    add_stop: Callable[[str], Awaitable[None]] | None = None
    """Enter a number in the stop list at the caller's own wish; raises CallrecError."""

    def rtp_bind(self, host: str) -> str:
        """Return the address of ours for media with a host: `rtp.bind` where it can be of use, else the route's.

        Raises:
            OSError: where no route leads there.
        """
        bind = self.settings.rtp.bind
        return bind if bind and _same_family(bind, host) else self.driver.route_local(host)

    def rtp_advertise(self, bind: str) -> str:
        """Return what to write in SDP for one of our addresses; "" for itself. A name stands for both families."""
        advertised = self.settings.rtp.advertise
        return advertised if not is_literal(advertised) or _same_family(advertised, bind) else ""

    @property
    def now(self) -> float:
        """Return the monotonic clock, in seconds."""
        return self.clock.monotonic()


def _same_family(one: str, other: str) -> bool:
    return (":" in one) == (":" in other)
