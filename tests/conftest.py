"""Fixtures shared by all tests."""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from hypothesis import settings

from tests import frame_files

# The same examples at every run, however slow the machine: what fails is then known to be new.
# `--hypothesis-profile=search` looks for others.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("search", max_examples=1000, deadline=None)
settings.load_profile("same")

# Python's collector of cycles would look through all that libraries leave after every 700 new
# objects: a twentieth of all tests' time.
gc.set_threshold(50_000, 20, 100)


@pytest.fixture
def real_data() -> Callable[..., Path]:
    """Path of a file of the real data; the test is skipped, with the reason, where it is missing.

    Their folder is the environment variable ``STREAKS_REAL_DATA``, else ``../shared/data`` beside
    the clone.
    """
    return frame_files.real_data


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Names of files that are no UTF-8 are shown as escapes: reports travel between processes."""
    report = yield
    report.sections = [
        (title, text.encode("utf-8", "backslashreplace").decode("utf-8"))
        for title, text in report.sections
    ]
    return report
