"""Freed images stay in the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

_COUNT = """
import resource, sys
import numpy as np
from streaks.cli.allocator import keep_freed_memory
if sys.argv[1] == "kept" and not keep_freed_memory():
    sys.exit(77)
np.ones(20_000_000, np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(20_000_000, np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", _COUNT, how], capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip("the C library is not GNU's: it has no mallopt")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_an_image_freed_and_made_again_asks_for_no_new_pages() -> None:
    # 20 MB are 4883 pages of 4 kB; some systems hand them out in larger ones.
    assert _faults("kept") < 50
    assert _faults("kept") <= _faults("given back")
