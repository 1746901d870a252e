"""What callers hear from us: the notices in force, read and verified once, the confirmation prompt, the tones."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from callrec.calls.commands import Tone
from callrec.errors import OperatorError, PeerError
from callrec.notice import NoticeAsset, NoticeLibrary
from callrec.notice.wideband import tone_sources
from callrec.rtp import opus, tones
from callrec.rtp.ogg import packets_of
from callrec.settings import Settings

log = logging.getLogger("callrec.notice")

OPT_OUT_CONFIRMED = "opt-out-confirmed"
STOP_OFFER = "stop-offer"
NOTICE_CODECS = ("PCMA", "PCMU", "G722", "OPUS")
"""The codecs in which a notice can be played at best; a call in another one passes unrecorded."""

_TONES = {Tone.RINGBACK: tones.RINGBACK, Tone.BUSY: tones.BUSY, Tone.UNOBTAINABLE: tones.NUMBER_UNOBTAINABLE}
Sources = Mapping[str, bytes | Path]


@dataclass(frozen=True, slots=True)
class LoadedNotice:
    """A notice in memory: what is played is what was verified, whatever happens to the files meanwhile (NOT-15)."""

    asset: NoticeAsset
    sources: Sources


class Prompts:
    """The notices that the capture rules name, and the rest; loaded at start and whenever an import or reload asks."""

    def __init__(self, library: NoticeLibrary) -> None:
        self._library = library
        self._notices: dict[str, LoadedNotice] = {}
        self._confirmation: Sources | None = None
        self._stop_offer: Sources | None = None
        self._menus: dict[str, Sources] = {}
        self.codecs: tuple[str, ...] = NOTICE_CODECS
        """In which all that callers may hear can be played: a call must not fall silent midway."""

    @classmethod
    def of_settings(cls, settings: Settings) -> Prompts:
        """Return the prompts of this recorder's state folder and of those shipped."""
        return cls(NoticeLibrary.of_state(settings.paths.state))

    def load(self, settings: Settings) -> list[str]:
        """Read what the configuration names; return what is wrong, one sentence for each notice.

        A call under a rule whose notice is not there is not recorded (NOT-3).
        """
        wanted = {rule.notice for rule in settings.capture_rule}
        notices, faults = self._load_all(sorted(wanted))
        self._notices = notices
        self._confirmation = self._optional(OPT_OUT_CONFIRMED)
        self._stop_offer = self._optional(STOP_OFFER) if settings.attendant.stop_key else None
        self._menus = {menu.name: found for menu in settings.menu if (found := self._menu_prompt(menu.prompt, faults))}
        spoken = self.all_sources()
        self.codecs = tuple(codec for codec in NOTICE_CODECS if all(codec in sources for sources in spoken))
        return faults

    def _load_all(self, ids: Sequence[str]) -> tuple[dict[str, LoadedNotice], list[str]]:
        notices, faults = {}, []
        for notice_id in ids:
            try:
                notices[notice_id] = self._read(notice_id)
            except (OperatorError, PeerError, OSError) as error:
                faults.append(str(error))
        return notices, faults

    def _menu_prompt(self, prompt: str, faults: list[str]) -> Sources | None:
        if not prompt:
            return None
        found = self._optional(prompt)
        if found is None:
            faults.append(
                f"notice_invalid: the menu prompt {prompt!r} cannot be loaded; import it or empty menu.prompt"
            )
        return found

    def _read(self, notice_id: str) -> LoadedNotice:
        asset = self._library.find(notice_id)
        sources = {codec: asset.path_for(codec).read_bytes() for codec in asset.codecs}
        if "OPUS" in sources:
            sources["OPUS"] = opus.framed(packets_of(sources["OPUS"]))
        return LoadedNotice(asset, sources)

    def _optional(self, notice_id: str) -> Sources | None:
        try:
            return self._read(notice_id).sources
        except (OperatorError, PeerError, OSError) as error:
            log.warning("prompt %s is left out: %s", notice_id, error)
            return None

    def notice(self, notice_id: str) -> LoadedNotice | None:
        """Return a notice in force, or None where it cannot be played."""
        return self._notices.get(notice_id)

    def menu(self, name: str) -> Sources | None:
        """Return what tells the keys of a menu, or None where the notice does."""
        return self._menus.get(name)

    @property
    def confirmation(self) -> Sources | None:
        """Return "this call is not being recorded", or None."""
        return self._confirmation

    @property
    def stop_offer(self) -> Sources | None:
        """Return what tells the key that stops all later recordings, or None where it is not offered."""
        return self._stop_offer

    def all_sources(self) -> list[Sources]:
        """Return everything that may be played, for workers to have it before it is needed."""
        sources = [notice.sources for notice in self._notices.values()] + [self.tone(tone) for tone in Tone]
        optional = [prompt for prompt in (self._confirmation, self._stop_offer) if prompt]
        return [*sources, *self._menus.values(), *optional]

    def tone(self, tone: Tone) -> Sources:
        """Return one period of a tone, in every codec of NOTICE_CODECS."""
        return tone_sources(_TONES[tone])
