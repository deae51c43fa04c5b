"""sbpy, imported when first needed and without its news for developers."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

__all__ = ["import_sbpy"]


def import_sbpy(module: str) -> Any:
    """A module of sbpy: ``import_sbpy("data")``.

    Importing it takes a second and, with newer astropy, warns of a deprecated test runner, which
    is no concern of anyone who asks where an asteroid is.

    Parameters
    ----------
    module
        Its name within sbpy.

    Returns
    -------
    module
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The TestRunner")
        return importlib.import_module(f"sbpy.{module}")
