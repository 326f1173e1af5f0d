"""One line on a terminal that says what runs; nothing where there is no terminal."""

from __future__ import annotations

import shutil
import sys
import time
from types import TracebackType
from typing import Self, TextIO

__all__ = ["Progress"]


class Progress:
    """Rewrites one line; as a context manager it wipes the line in the end."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._shown = self._stream.isatty()
        self._start = time.monotonic()

    def __call__(self, what: str, done: int, total: int) -> None:
        """This runs now, after so many of so many."""
        spent = time.monotonic() - self._start
        left = f", {spent / done * (total - done):.0f} s to go" if done else ""
        self._write(f"[{done + 1}/{total}{left}] {what}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._write("")

    def _write(self, line: str) -> None:
        if self._shown:
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(f"\r\x1b[K{line[:width]}")
            self._stream.flush()
