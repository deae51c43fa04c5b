"""Plain values beside what is made: where it came from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["write_json"]


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Plain values as indented JSON.

    Parameters
    ----------
    path
        To write to.
    values
        As JSON knows them.
    """
    path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")
