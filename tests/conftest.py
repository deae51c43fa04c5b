"""Fixtures shared by all tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests import frame_files


@pytest.fixture
def real_data() -> Callable[..., Path]:
    """Path of a file of the real data; the test is skipped, with the reason, where it is missing.

    Their folder is the environment variable ``STREAKS_REAL_DATA``, else ``../shared/data`` beside
    the clone.
    """
    return frame_files.real_data
