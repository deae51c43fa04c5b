"""JSON and TOML from strangers, without depth or numbers that no parser survives."""

from __future__ import annotations

import json
import os
import re
from typing import Any

import numpy as np

from streaks.disk.limits import Limits
from streaks.disk.reading import read_bytes
from streaks.errors import ReadError

__all__ = ["MAX_DEPTH", "check_depth", "json_integer", "parse_json", "read_toml"]

#: Brackets within brackets of a JSON text (model cards, Avro schemas, exports): real ones have
#: fewer than ten.
MAX_DEPTH = 64
#: Longer integers are no number of anything, and from 309 digits on no float.
_MOST_DIGITS = 100
#: Bytes of a text whose brackets are counted at once.
_COUNTED = 1 << 20


def parse_json(text: str | bytes, name: str) -> Any:
    """The value of a JSON text, nested no deeper than `MAX_DEPTH`.

    Parameters
    ----------
    text
        Bytes are UTF-8.
    name
        What an error calls it.

    Returns
    -------
    dict, list, str, int, float, bool or None

    Raises
    ------
    ReadError
        If it is no JSON, or nested too deeply.
    """
    check_depth(text, name)
    try:
        return json.loads(text, parse_int=json_integer)
    except (ValueError, RecursionError) as error:
        raise ReadError(f"{name} is not JSON ({str(error)[:160]}); fetch it again") from None


def json_integer(digits: str) -> int:
    """For `json.loads`: an integer that can be made a float of.

    Parameters
    ----------
    digits
        As they stand in the text.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If there are more than a hundred digits.
    """
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"an integer of {len(digits)} digits")
    return int(digits)


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The values of a TOML file: settings, profiles.

    Parameters
    ----------
    path
        A regular file of at most 1 MB.

    Returns
    -------
    dict

    Raises
    ------
    ReadError
        If it cannot be read, or is no TOML.
    """
    import tomllib

    content = read_bytes(path, Limits(max_bytes=1 << 20))
    check_depth(content, os.fspath(path))
    # Python's parser takes quadratic time for a.a.a.a...
    names = (re.split(rb"[=#]", line, maxsplit=1)[0] for line in content.split(b"\n"))
    if max(name.count(b".") for name in names) > MAX_DEPTH:
        raise ReadError(
            f"{os.fspath(path)} has a name of more than {MAX_DEPTH} parts; expected two or three"
        )
    try:
        return tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ReadError(f"{os.fspath(path)} cannot be read as TOML: {reason}") from None


def check_depth(text: str | bytes, name: str) -> None:
    """Refuse text with brackets within brackets, deeper than any reader needs.

    Brackets in quotes count too, so that the check needs no parser.

    Parameters
    ----------
    text
        JSON, or what looks like it.
    name
        What an error calls it.

    Raises
    ------
    ReadError
        If it is nested more deeply than `MAX_DEPTH`.
    """
    raw = text.encode("utf-8", "replace") if isinstance(text, str) else text
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return
    steps = np.zeros(256, np.int8)
    steps[[ord("["), ord("{")]], steps[[ord("]"), ord("}")]] = 1, -1
    depth = 0
    for at in range(0, len(raw), _COUNTED):
        values = np.frombuffer(raw, np.uint8, min(_COUNTED, len(raw) - at), at)
        depths = depth + np.cumsum(steps[values], dtype=np.int64)
        if depths.max() > MAX_DEPTH:
            raise ReadError(
                f"{name} is nested more than {MAX_DEPTH} deep; this is no survey's file"
            )
        depth = int(depths[-1])
