"""Faces of packages whose modules are imported when a name is first used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import streaks.known
from streaks.lazy import lazy_face


def test_a_name_comes_from_its_module() -> None:
    from streaks.known.names import same_object

    assert streaks.known.same_object is same_object


def test_a_name_that_is_not_of_the_face_is_an_attribute_error() -> None:
    getter, _ = lazy_face("streaks.known", {"same_object": "names"})
    with pytest.raises(AttributeError, match=r"module 'streaks\.known' has no attribute 'other'"):
        getter("other")


def test_a_face_lists_its_names_before_they_are_used() -> None:
    assert {"same_object", "predict"} <= set(dir(streaks.known))


def test_importing_a_package_imports_none_of_its_modules() -> None:
    code = "import sys, streaks.known; print([m for m in sys.modules if m.startswith('streaks.k')])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "['streaks.known']"
