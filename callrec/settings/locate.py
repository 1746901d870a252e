"""The line of every key in a TOML text: tomllib reads values and forgets where they stood.

The text has been read by tomllib before, so this scanner trusts its form and only keeps count.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field

from callrec.settings.origin import KeyPath

_BARE_KEY_ENDS = " \t=.]\n\r#"
_VALUE_ENDS = ",]}\n#"


def locate(text: str) -> dict[KeyPath, int]:
    """Return the line, counted from 1, of every table, key and array element in valid TOML text."""
    return _Scanner(text).scan()


@dataclass(slots=True)
class _Scanner:
    text: str
    at: int = 0
    lines: dict[KeyPath, int] = field(default_factory=dict)
    lengths: dict[KeyPath, int] = field(default_factory=dict)  # tables met so far in each array of tables

    def scan(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        while self._skip_blank():
            if self.text.startswith("[[", self.at):
                table = self._array_table_header()
            elif self._here() == "[":
                table = self._table_header()
            else:
                self._pair(table)
        return self.lines

    def _here(self) -> str:
        return self.text[self.at : self.at + 1]

    def _skip(self, characters: str) -> None:
        while self._here() and self._here() in characters:
            self.at += 1

    def _skip_blank(self) -> bool:
        """Pass white space, newlines and comments; return whether anything follows."""
        self._skip(" \t\r\n")
        while self._here() == "#":
            end = self.text.find("\n", self.at)
            self.at = len(self.text) if end < 0 else end
            self._skip(" \t\r\n")
        return self.at < len(self.text)

    def _note(self, path: KeyPath, start: int) -> None:
        line = self.text.count("\n", 0, start) + 1
        for length in range(1, len(path) + 1):  # tables that are only passed through stand where they first are
            self.lines.setdefault(path[:length], line)

    def _table_header(self) -> KeyPath:
        start = self.at
        self.at += 1
        path = self._resolve(self._dotted_key())
        self.at += 1
        self._note(path, start)
        return path

    def _array_table_header(self) -> KeyPath:
        start = self.at
        self.at += 2
        names = self._dotted_key()
        self.at += 2
        array = (*self._resolve(names[:-1]), names[-1])
        index = self.lengths.get(array, 0)
        self.lengths[array] = index + 1
        self._note(array, start)
        self._note((*array, index), start)
        return (*array, index)

    def _resolve(self, names: tuple[str, ...]) -> KeyPath:
        """Return the path of a table whose name passes through arrays of tables: it means their last element."""
        path: KeyPath = ()
        for name in names:
            path = (*path, name)
            if path in self.lengths:
                path = (*path, self.lengths[path] - 1)
        return path

    def _dotted_key(self) -> tuple[str, ...]:
        names = [self._key()]
        self._skip(" \t")
        while self._here() == ".":
            self.at += 1
            names.append(self._key())
            self._skip(" \t")
        return tuple(names)

    def _key(self) -> str:
        self._skip(" \t")
        start = self.at
        if self._here() in {'"', "'"}:
            self._string()
            return str(tomllib.loads(f"v = {self.text[start : self.at]}")["v"])
        while self._here() and self._here() not in _BARE_KEY_ENDS:
            self.at += 1
        return self.text[start : self.at]

    def _pair(self, table: KeyPath) -> None:
        start = self.at
        path = (*table, *self._dotted_key())
        self._note(path, start)
        self.at += 1  # the equals sign
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        self._skip(" \t")
        match self._here():
            case '"' | "'":
                self._string()
            case "[":
                self._array(path)
            case "{":
                self._inline_table(path)
            case _:
                while self._here() and self._here() not in _VALUE_ENDS:
                    self.at += 1

    def _array(self, path: KeyPath) -> None:
        self.at += 1
        index = 0
        while self._skip_blank() and self._here() != "]":
            if self._here() == ",":
                self.at += 1
                continue
            self._note((*path, index), self.at)
            self._value((*path, index))
            index += 1
        self.at += 1

    def _inline_table(self, path: KeyPath) -> None:
        self.at += 1
        while self._skip_blank() and self._here() != "}":
            if self._here() == ",":
                self.at += 1
                continue
            self._pair(path)
        self.at += 1

    def _string(self) -> None:
        quote = self._here()
        if self.text.startswith(quote * 3, self.at):
            self.at = self._closing(quote * 3, self.at + 3)
            self._skip(quote)  # a string may end with quotes of its own: """"a quote""""" (TOML 1.0, strings)
        else:
            self.at = self._closing(quote, self.at + 1)

    def _closing(self, mark: str, start: int) -> int:
        at = start
        while at < len(self.text) and not self.text.startswith(mark, at):
            at += 2 if mark[0] == '"' and self.text[at] == "\\" else 1
        return at + len(mark)
