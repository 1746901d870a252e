"""Prompts in memory: each in a memfd that a worker can read without a disk."""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

_LIMIT = 256


@dataclass(frozen=True, slots=True)
class Prompt:
    """Audio in some codec that may be handed to a worker."""

    name: str
    """The same name is the same audio, for as long as the service lives."""
    descriptor: int


class PromptStore:
    """The prompts played lately, by their bytes, and the files they were read from."""

    def __init__(self) -> None:
        self._prompts: OrderedDict[bytes, Prompt] = OrderedDict()  # bytes keep their hash: a look-up costs no reading
        self._files: dict[Path, bytes] = {}
        self._count = 0

    def keep(self, audio: bytes) -> Prompt:
        """Return the prompt of these bytes."""
        prompt = self._prompts.get(audio)
        if prompt is not None:
            self._prompts.move_to_end(audio)
            return prompt
        if len(self._prompts) >= _LIMIT:
            os.close(self._prompts.popitem(last=False)[1].descriptor)
        descriptor = os.memfd_create("callrec-prompt", os.MFD_CLOEXEC)
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(audio)
        self._count += 1
        prompt = self._prompts[audio] = Prompt(str(self._count), descriptor)
        return prompt

    def of_file(self, path: Path) -> Prompt | None:
        """Return the prompt of a file that was read before, or None."""
        audio = self._files.get(path)
        return self.keep(audio) if audio is not None else None

    async def read(self, path: Path) -> Prompt:
        """Read a file, again if it was read before, and return its prompt.

        Raises:
            OSError: if it cannot be read.
        """
        audio = await asyncio.to_thread(path.read_bytes)
        self._files[path] = audio
        return self.keep(audio)

    def close(self) -> None:
        """Let go of everything."""
        for prompt in self._prompts.values():
            os.close(prompt.descriptor)
        self._prompts.clear()
        self._files.clear()
