"""The ledger: what was done, and when it must be asked again."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from streaks.errors import LedgerError
from streaks.night_folder.ledger import DONE, FAILED, Entry, open_ledger


def entry(image: str, state: str = DONE, **values: object) -> Entry:
    return Entry(
        image=image, path=f"/{image}.fits", signature="[]", settings="s", state=state, **values
    )


def test_entries_come_back_as_they_went_sorted_by_name(tmp_path: Path) -> None:
    second = entry("b", n_streaks=3, seconds=1.5, stages={"find": 1.0}, about={"nx": 5})
    first = entry("a", FAILED, kind="ReadError", reason="it is empty")
    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.record(second)
        ledger.record(first)
    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        found = ledger.entries()
    assert [e.image for e in found] == ["a", "b"]
    assert found[0].reason == "it is empty"
    assert (found[1].n_streaks, found[1].stages, found[1].about) == (3, {"find": 1.0}, {"nx": 5})
    assert found[1].updated


def test_a_frame_done_again_replaces_its_entry(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.record(entry("a", FAILED))
        ledger.record(entry("a", DONE))
        assert [e.state for e in ledger.entries()] == [DONE]


def test_a_damaged_ledger_is_named_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"this is no database at all" * 100)
    with (
        pytest.raises(LedgerError, match=r"cannot be used .*; --restart begins a new one"),
        open_ledger(path),
    ):
        pass


def test_a_ledger_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with open_ledger(path):
        pass
    with sqlite3.connect(path) as database:
        database.execute("UPDATE meta SET value = '99' WHERE key = 'schema'")
    with pytest.raises(LedgerError, match="has schema 99"), open_ledger(path):
        pass
