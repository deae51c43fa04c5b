"""Faces of packages whose modules are imported when a name of theirs is first used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["lazy_face"]


def lazy_face(
    package: str, modules: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """What a package's ``__init__`` binds to ``__getattr__`` and ``__dir__`` (PEP 562).

    Parameters
    ----------
    package
        Its ``__name__``.
    modules
        The module inside that holds each name of the face.

    Returns
    -------
    getter, lister : callable
        The first imports the module of a name; the second lists all names.

    Raises
    ------
    AttributeError
        From the first, for a name that is not of the face.
    """

    def getter(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{modules[name]}"), name)

    def lister() -> list[str]:
        return sorted({*vars(sys.modules[package]), *modules})

    return getter, lister
