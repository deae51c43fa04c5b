"""What files say never reaches a terminal raw.

A file's name, a header's word or an asteroid's may hold escape sequences, which move the cursor,
set the window's title, or worse; and bytes that are no UTF-8, which end a `print`. Everything that
commands write goes through a stream that shows such characters as their escapes.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

__all__ = ["plain_streams", "raw", "shown"]

#: Control characters but for line feed and tab; those that turn the direction of text; halves of
#: surrogate pairs, by which Python holds bytes of names that are no UTF-8.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def shown(text: str) -> str:
    """Text with control characters as their escapes.

    Parameters
    ----------
    text
        Any.

    Returns
    -------
    str
        With ``\\x1b`` for an escape, as Python writes it; line feeds and tabs stay.
    """
    return _CONTROL.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00  # a byte that is no UTF-8
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


class _Plain:
    """A text stream that shows control characters; all else is the stream's own."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write what may be shown."""
        self._stream.write(shown(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write lines one by one."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        # Click looks for the bytes behind a stream, and would write them past this one.
        if name in ("buffer", "detach", "raw"):
            raise AttributeError(name)
        return getattr(self._stream, name)


@contextmanager
def plain_streams() -> Iterator[None]:
    """Within it, what is written to standard output and error goes through `shown`.

    Yields
    ------
    None
    """
    outer = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _plain(sys.stdout), _plain(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = outer


def _plain(stream: TextIO) -> TextIO:
    return stream if isinstance(stream, _Plain) else _Plain(stream)  # type: ignore[return-value]


def raw(stream: TextIO) -> TextIO:
    """A standard stream itself, for bars and bold headings: their escape sequences are our own.

    Parameters
    ----------
    stream
        ``sys.stdout`` or ``sys.stderr``. What is written to its raw form of texts from files must
        go through `shown` first.

    Returns
    -------
    text stream
    """
    found: TextIO = stream._stream if isinstance(stream, _Plain) else stream
    return found
