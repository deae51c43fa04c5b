"""What can go wrong, as one tree.

::

    StreaksError
    ├── InputError               something the user gave cannot be used
    │   ├── ReadError            a file is missing, cut short, or not what its name says
    │   │   └── AccessError      it cannot be reached now: permission, network, disk
    │   ├── FrameError           an image (or what lies beside it) cannot be searched
    │   ├── AlertError           an alert packet lacks what is needed
    │   ├── CatalogueError       an orbit catalogue or its lines are unusable
    │   ├── TableError           a table lacks columns, or has them in other units
    │   └── OutputError          the place for results cannot be written to
    ├── ConfigError              a setting is out of its range or unknown
    ├── ModelError               model weights are missing, altered or of another kind
    ├── LedgerError              a night's ledger does not fit what is asked
    └── MissingExtraError        an optional library is needed and absent

Every message says what was expected, what arrived, and what to do.
"""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

__all__ = [
    "AccessError",
    "AlertError",
    "CatalogueError",
    "ConfigError",
    "FrameError",
    "InputError",
    "LedgerError",
    "MissingExtraError",
    "ModelError",
    "OutputError",
    "ReadError",
    "StreaksError",
    "TableError",
]


class StreaksError(Exception):
    """Any error that this package raises on purpose."""


class InputError(StreaksError):
    """Something the user gave cannot be used."""


class ReadError(InputError):
    """A file is missing, cut short, or not what its name says."""


class AccessError(ReadError):
    """A file cannot be reached now; later, or with another permission, it may be."""


class FrameError(InputError):
    """An image, or what lies beside it, cannot be searched."""


class AlertError(InputError):
    """An alert packet lacks what is needed."""


class CatalogueError(InputError):
    """An orbit catalogue or its lines are unusable."""


class TableError(InputError):
    """A table lacks columns, or has them in other units."""


class OutputError(InputError):
    """The place for results cannot be written to: full, read-only, or gone."""


class ConfigError(StreaksError, ValueError):
    """A setting is out of its range, or unknown."""


class ModelError(StreaksError):
    """Model weights are missing, altered, or of another kind."""


class LedgerError(StreaksError):
    """A night's ledger does not fit what is asked."""


class MissingExtraError(StreaksError, ImportError):
    """An optional library is needed and absent.

    Parameters
    ----------
    library
        Name of the library, as it is imported.
    extra
        The extra of this package that installs it.
    purpose
        What needs it; begins the message.
    """

    def __init__(self, library: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs {library}, which is not installed; "
            f"install it with: {_how_to_install(extra, library)}"
        )


def _how_to_install(extra: str, library: str) -> str:
    """A command that works as it stands, for the Python that runs, from any folder.

    Of a clone it is the extra. An installed package may have come from a file or an address that
    is not known any more, so there the extra's own libraries are named.
    """
    pip = f"{shlex.quote(sys.executable or 'python')} -m pip install"
    clone = Path(__file__).resolve().parents[1]
    if (clone / "pyproject.toml").is_file():
        return f"{pip} -e {shlex.quote(f'{clone}[{extra}]')} (the extra {extra!r} of this clone)"
    libraries = " ".join(shlex.quote(text) for text in _libraries_of(extra)) or library
    return f"{pip} {libraries} (what the extra {extra!r} brings)"


def _libraries_of(extra: str) -> list[str]:
    """What an extra installs, with versions, as the installed package tells it."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        needed = requires("streaks") or []
    except PackageNotFoundError:
        return []
    marked = re.compile(rf"""extra\s*==\s*['"]{re.escape(extra)}['"]""")
    return [text.split(";")[0].strip() for text in needed if marked.search(text)]
