"""The benchmark of bad references counts what was put in, and what is told of it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

references = pytest.importorskip("benchmarks.references", reason="benchmarks are not beside")

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree


@pytest.mark.parametrize("kind", ["missing in science", "gradient"])
def test_a_spoiled_reference_is_counted(kind: str) -> None:
    count: Counter[str] = Counter()
    own: Counter[str] = Counter()
    references.one(kind, 5301, count, own)
    put_in = references.FAULTS_EACH if kind != "gradient" else 1
    assert (count["references"], count["put in"]) == (1, put_in)
    assert 1 <= count["right"] <= put_in
    assert count["flagged"] == 1
    # What the simulator gave every reference itself is no false flag.
    assert own["told"] + own["told as another kind"] <= own["there"]


def test_what_is_told_is_a_fault_only_near_its_place() -> None:
    known = references.Known("ringed source", 100.0, 50.0)
    near = references.Known("negative source", 101.5, 50.0)
    far = references.Known("ringed source", 102.5, 50.0)
    tilt = references.Known("gradient", np.nan, np.nan)
    assert references.same_place(known, near)
    assert not references.same_place(known, far)
    assert references.same_place(tilt, tilt)
    assert not references.same_place(known, tilt)


def test_counts_become_rows() -> None:
    counts = {"": Counter({"references": 4, "false": 1})}
    counts |= {kind: Counter({"references": 2, "put in": 6, "right": 5}) for kind in ("gradient",)}
    text = references.told(counts, Counter({"there": 3, "told": 2}))
    assert "| good | 4 | - | - | - | - | 1 | 0.25 |" in text
    assert "| gradient | 2 | 6 | 5 | 0 | 0 | 0 | 0.00 |" in text
