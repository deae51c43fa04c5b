"""Alerts in and out: what comes out, once, whatever happens on the way."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pytest

from streaks.cli import main
from streaks.errors import CatalogueError, ConfigError, LedgerError, OutputError
from streaks.night_folder.reading import read_night
from streaks.readers import read_table
from streaks.readers.alerts import read_alerts
from streaks.streams import WORD_COLUMNS, AlertFilter, run_filter
from streaks.streams import run as run_module
from streaks.streams.sources import FileSource
from tests.made_alerts import (
    ZTF_SCHEMA,
    image_with,
    load_deadly,
    load_sure,
    message,
    write_avro,
    ztf_record,
)

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree


def _filter(paths: Path | list[Path], target: Path, *, workers: int = 0, **settings: Any) -> Any:
    given = [paths] if isinstance(paths, Path) else paths
    plan = AlertFilter(check=False, **settings)
    return run_filter(plan, FileSource(given), target, workers=workers)


def _packets(path: Path) -> list[dict[str, Any]]:
    with path.open("rb") as stream:
        return [dict(r) for r in fastavro.reader(stream) if isinstance(r, dict)]


@pytest.fixture
def alerts(tmp_path: Path) -> Path:
    """Ten points and two trails of 12 px."""
    records = [ztf_record(k, image_with(12.0 * (k > 10), 30.0, seed=k)) for k in range(1, 13)]
    return write_avro(tmp_path / "alerts.avro", records)


def test_packets_come_out_with_our_word_and_all_of_their_own(alerts: Path, tmp_path: Path) -> None:
    counts = _filter(alerts, tmp_path / "out.avro", load_classifier=load_sure)
    assert (counts.alerts, counts.kept, counts.poison, counts.repeats) == (12, 12, 0, 0)
    before, after = _packets(alerts), _packets(tmp_path / "out.avro")
    for old, new in zip(before, after, strict=True):
        word = new.pop("streaks")
        assert new == old
        assert word["alert_id"] == f"ztf:{old['candid']}"
        assert set(word) == {spec.name for spec in WORD_COLUMNS}
    words = [p["streaks"] for p in _packets(tmp_path / "out.avro")]
    assert [w["label"] for w in words] == ["unresolved"] * 10 + ["asteroid"] * 2
    assert Counter(w["settled"] for w in words)["stamp"] >= 8
    assert all(w["settled"] == "network" for w in words[10:])
    np.testing.assert_allclose([w["length"] for w in words[10:]], 12.0, rtol=0.2)
    # Our reader reads what our filter writes.
    assert len(read_alerts(tmp_path / "out.avro")[0]) == 12


def test_what_is_not_known_is_null_in_packets_and_nan_in_tables(
    alerts: Path, tmp_path: Path
) -> None:
    _filter(alerts, tmp_path / "out.avro")
    _filter(alerts, tmp_path / "out.parquet")
    assert _packets(tmp_path / "out.avro")[0]["streaks"]["trail_length"] is None
    table = read_table(tmp_path / "out.parquet")
    assert np.isnan(table["trail_length"][0].value)
    assert table["ra"].unit == "deg"
    assert table.meta["provenance"]["check"] is False


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".ecsv"])
def test_tables_have_a_row_an_alert(alerts: Path, tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"out{suffix}"
    _filter(alerts, target, load_classifier=load_sure, where="label == 'asteroid'")
    table = read_table(target)
    assert [str(i) for i in table["alert_id"]] == ["ztf:11", "ztf:12"]


def test_no_alert_let_through_is_an_empty_table(alerts: Path, tmp_path: Path) -> None:
    _filter(alerts, tmp_path / "out.parquet", where="mag > 90")
    table = read_table(tmp_path / "out.parquet")
    assert len(table) == 0
    assert table.colnames == [spec.name for spec in WORD_COLUMNS]


def test_a_night_folder_is_one_that_report_and_vet_open(
    alerts: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _filter(alerts, tmp_path / "night", load_classifier=load_sure)
    # Stamps have no WCS, so that there is no ADES file; nobody can mend that.
    assert "not written" not in caplog.text
    assert not list((tmp_path / "night").glob("*.psv"))
    night = read_night(tmp_path / "night")
    assert len(night.streaks) == 12
    assert len(night.frames) == 1
    image = str(night.frames["image"][0])
    assert image == "ztf_20180209001_000500_zr_c01_o_q1_scimrefdiffimg"
    cutouts = night.cutouts(image)
    assert len(cutouts) == 12
    (first, *_), _ = read_alerts(alerts)
    assert first.difference is not None
    row = cutouts.names.index("ztf_1")
    np.testing.assert_array_equal(cutouts.difference[row], first.difference)
    (tmp_path / "night" / "report.html").unlink()
    assert main(["report", str(tmp_path / "night")]) == 0
    assert "ztf_11" in (tmp_path / "night" / "report.html").read_text()
    from streaks.vetting.candidates import read_candidates

    assert len(read_candidates(read_night(tmp_path / "night"))) == 12


def test_conditions_ask_the_packet_too(alerts: Path, tmp_path: Path) -> None:
    where = "packet.xpos > 105.5 and packet.nothing != 3 and snr > 5"
    counts = _filter(alerts, tmp_path / "out.csv", where=where)
    assert (counts.alerts, counts.kept) == (12, 7)
    counts = _filter(alerts, tmp_path / "none.csv", where="packet.nothing > 3")
    assert counts.kept == 0


def test_what_the_packet_tells_is_asked_before_its_stamp_is_looked_at(
    alerts: Path, tmp_path: Path
) -> None:
    shown = []

    class Watched:
        name = "watched"

        def predict_proba(self, cutouts: Any) -> Any:
            shown.append(len(cutouts))
            return load_sure().predict_proba(cutouts)

    counts = _filter(
        alerts, tmp_path / "o.csv", load_classifier=Watched,
        where="packet.xpos > 110.5 and label == 'asteroid'",
    )  # fmt: skip
    assert counts.kept == 2
    assert sum(shown) == 2


def test_a_condition_on_what_there_is_not_is_refused_before_anything(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="asks for mgap"):
        AlertFilter(where="mgap > 3")


def test_packets_that_cannot_be_read_are_set_aside_once_each(tmp_path: Path) -> None:
    good = ztf_record(1)
    write_avro(tmp_path / "a.avro", [good])
    lost = ztf_record(2)
    lost["candidate"]["ra"] = float("nan")
    write_avro(tmp_path / "b.avro", [lost])
    (tmp_path / "c.avro").write_bytes(
        write_avro(tmp_path / "d", [ztf_record(3)]).read_bytes()[:-30]
    )
    (tmp_path / "e.avro").write_bytes(message(ztf_record(4), 77))
    (tmp_path / "d").unlink()
    sources = sorted(tmp_path.glob("*.avro"))
    counts = _filter(sources, tmp_path / "out.csv")
    assert (counts.alerts, counts.kept, counts.poison) == (1, 1, 3)
    folder = tmp_path / "out.csv.work" / "poison"
    told = [json.loads(p.read_text()) for p in sorted(folder.glob("*.json"))]
    reasons = " | ".join(one["reason"] for one in told)
    assert "its ra is nan; expected a number" in reasons
    assert "packet 1 does not decode" in reasons
    assert "number 77 and is not known; give --schemas" in reasons
    # The message itself is kept, to be tried again.
    assert any(p.read_bytes() == message(ztf_record(4), 77) for p in folder.glob("*.avro"))
    again = _filter(sources, tmp_path / "out.csv")
    assert again == counts


def test_a_stamp_that_is_damaged_costs_its_stamp_alone(tmp_path: Path) -> None:
    record = ztf_record(1, image_with(0.0, 20.0))
    record["cutoutDifference"]["stampData"] = b"\x1f\x8b" + b"x" * 100
    write_avro(tmp_path / "a.avro", [record])
    _filter(tmp_path / "a.avro", tmp_path / "o.parquet", load_classifier=load_sure)
    (row,) = read_table(tmp_path / "o.parquet")
    assert (row["settled"], row["label"]) == ("none", "")


def test_an_alert_that_comes_twice_is_out_once(alerts: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.avro"
    copy.write_bytes(alerts.read_bytes())
    counts = _filter([alerts, copy], tmp_path / "out.avro")
    assert (counts.alerts, counts.kept, counts.repeats) == (24, 12, 12)
    assert len(_packets(tmp_path / "out.avro")) == 12


def test_a_second_run_adds_what_is_new(alerts: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    alerts.rename(folder / "a.avro")
    _filter(folder, tmp_path / "out.parquet")
    write_avro(folder / "b.avro", [ztf_record(99)])
    counts = _filter(folder, tmp_path / "out.parquet")
    assert (counts.alerts, counts.kept) == (13, 13)
    assert len(read_table(tmp_path / "out.parquet")) == 13


def test_archives_messages_and_tables_of_brokers_are_sources(alerts: Path, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with tarfile.open(tmp_path / "night.tar.gz", "w:gz") as archive:
        archive.add(write_avro(tmp_path / "x", [ztf_record(20)]), "x.avro")
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "5.avsc").write_text(json.dumps(ZTF_SCHEMA))
    (tmp_path / "m.avro").write_bytes(message(ztf_record(21), 5))
    rows = [ztf_record(k, image_with(12.0, 30.0)) for k in (22, 23)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    sources = [tmp_path / name for name in ("night.tar.gz", "m.avro", "rows.parquet")]
    counts = _filter(
        sources, tmp_path / "out.csv", schemas=str(tmp_path / "schemas"), load_classifier=load_sure
    )
    assert (counts.kept, counts.poison) == (4, 0)
    table = read_table(tmp_path / "out.csv")
    assert [str(i) for i in table["alert_id"]] == [f"ztf:{k}" for k in (20, 21, 22, 23)]
    assert [str(label) for label in table["label"][2:]] == ["asteroid", "asteroid"]
    with pytest.raises(Exception, match="cannot be written as Avro packets"):
        _filter(tmp_path / "rows.parquet", tmp_path / "out.avro")


def test_alerts_of_two_schemas_are_two_files(alerts: Path, tmp_path: Path) -> None:
    other = json.loads(json.dumps(ZTF_SCHEMA))
    other["fields"].append({"name": "more", "type": "int", "default": 3})
    write_avro(tmp_path / "b.avro", [{**ztf_record(50), "more": 7}], other)
    _filter([alerts, tmp_path / "b.avro"], tmp_path / "out.avro")
    (second,) = tmp_path.glob("out.*.avro")
    assert len(_packets(tmp_path / "out.avro")) == 12
    assert _packets(second)[0]["more"] == 7


@pytest.mark.parametrize("workers", [0, 1])
def test_a_wrong_catalogue_poisons_nothing_and_binds_nobody_to_it(
    alerts: Path, tmp_path: Path, workers: int
) -> None:
    (tmp_path / "orbits.dat").write_text("no orbits\n")
    plan = AlertFilter(orbits=tmp_path / "orbits.dat")
    with pytest.raises(CatalogueError, match="no orbit catalogue"):
        run_filter(plan, FileSource([alerts]), tmp_path / "out.csv", workers=workers)
    assert not list((tmp_path / "out.csv.work").glob("poison/*"))
    assert _filter(alerts, tmp_path / "out.csv").kept > 0
    with pytest.raises(LedgerError, match="begun with other settings"):
        _filter(alerts, tmp_path / "out.csv", where="mag > 3")


def test_other_settings_and_other_peoples_files_are_refused(alerts: Path, tmp_path: Path) -> None:
    _filter(alerts, tmp_path / "out.csv")
    # Those that differ are named with both values, and no others.
    with pytest.raises(LedgerError, match=r"other settings \(where: '', now 'mag > 3'\); use"):
        _filter(alerts, tmp_path / "out.csv", where="mag > 3")
    for name in ("mine.csv", "mine.avro"):
        (tmp_path / name).write_text("precious")
        with pytest.raises(OutputError, match="none of this filter"):
            _filter(alerts, tmp_path / name)
        assert (tmp_path / name).read_text() == "precious"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.txt").write_text("precious")
    with pytest.raises(OutputError, match="holds something already"):
        _filter(alerts, tmp_path / "mine")
    with pytest.raises(OutputError, match=r"ends in \.docx, which is no format"):
        _filter(alerts, tmp_path / "out.docx")


def test_two_filters_cannot_have_one_output(alerts: Path, tmp_path: Path) -> None:
    with (
        run_module._locked(tmp_path / "out.csv.work"),
        pytest.raises(LedgerError, match="another filter is at work"),
    ):
        _filter(alerts, tmp_path / "out.csv")


def test_an_output_that_was_cut_is_named(alerts: Path, tmp_path: Path) -> None:
    _filter(alerts, tmp_path / "out.avro")
    os.truncate(tmp_path / "out.avro", 100)
    with pytest.raises(OutputError, match="is gone or was cut"):
        _filter(alerts, tmp_path / "out.avro")


def test_processes_give_what_one_gives_in_its_order(alerts: Path, tmp_path: Path) -> None:
    for name, workers in (("one.avro", 0), ("two.avro", 2)):
        _filter(alerts, tmp_path / name, workers=workers, load_classifier=load_sure)
    assert _packets(tmp_path / "one.avro") == _packets(tmp_path / "two.avro")


def test_a_packet_that_ends_its_process_is_set_aside_and_the_others_are_not(
    tmp_path: Path,
) -> None:
    images = [image_with(12.0, 30.0, seed=k) for k in range(5)]
    images[3] *= 1e6
    write_avro(tmp_path / "a.avro", [ztf_record(k + 1, image) for k, image in enumerate(images)])
    counts = _filter(
        tmp_path / "a.avro", tmp_path / "out.avro", workers=1, load_classifier=load_deadly
    )
    assert (counts.kept, counts.poison) == (4, 1)
    assert [p["candid"] for p in _packets(tmp_path / "out.avro")] == [1, 2, 3, 5]
    (told,) = (tmp_path / "out.avro.work" / "poison").glob("*.json")
    assert "it ended the process that looked at it" in told.read_text()


_CHILD = """
import sys
from pathlib import Path
from streaks.streams import AlertFilter, run_filter, run
from streaks.streams.sources import FileSource
if __name__ == "__main__":
    run._COMMIT_PACKETS = int(sys.argv[3])
    say = lambda counts: print(counts.kept, flush=True)
    plan = AlertFilter(check=False, where="packet.sgscore1 < 0.9")
    run_filter(plan, FileSource([Path(sys.argv[1])]), sys.argv[2], workers=int(sys.argv[4]),
               progress=say, batch=int(sys.argv[5]))
"""


def _killed_often(
    source: Path, target: Path, kills: int, *, commit: int, workers: int, batch: int
) -> int:
    """Run the filter, kill it some commits on, again and again; how often it was killed."""
    rng = random.Random(3)
    done = 0
    while True:
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(source), str(target), str(commit), str(workers),
             str(batch)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert child.stdout is not None
        if done < kills:
            for _ in range(rng.randint(1, 3)):
                if not child.stdout.readline():
                    break
            # Anywhere between two commits, or within one.
            time.sleep(rng.uniform(0.0, 0.03))
            child.send_signal(signal.SIGKILL)
            done += child.wait() == -signal.SIGKILL
            child.stdout.close()
            continue
        child.stdout.read()
        child.stdout.close()
        assert child.wait() == 0
        return done


def _many(folder: Path, n: int, files: int) -> Path:
    """Packets in several files; one in ten is let through by nothing, some come twice."""
    folder.mkdir()
    record = ztf_record(0, image_with(0.0, 20.0, side=21))
    numbers = list(range(1, n + 1))
    for k in range(files):
        own = numbers[k::files] + numbers[: n // 50]
        records = [
            {**record, "candid": c,
             "candidate": {**record["candidate"], "sgscore1": 0.95 if c % 10 == 0 else 0.1}}
            for c in own
        ]  # fmt: skip
        write_avro(folder / f"{k}.avro", records)
    return folder


@pytest.mark.parametrize("name", ["out.avro", "out.parquet"])
@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_killed_again_and_again_each_alert_is_out_exactly_once(
    tmp_path: Path, name: str, kills: int
) -> None:
    n = 300 * kills
    source = _many(tmp_path / "in", n, 4)
    killed = _killed_often(source, tmp_path / name, kills, commit=64, workers=0, batch=32)
    assert killed == kills
    if name == "out.avro":
        found = [p["candid"] for p in _packets(tmp_path / name)]
    else:
        found = [int(str(i).split(":")[1]) for i in read_table(tmp_path / name)["alert_id"]]
    assert sorted(found) == [c for c in range(1, n + 1) if c % 10]


@pytest.mark.slow
def test_twenty_thousand_packets_and_ten_kills(tmp_path: Path) -> None:
    source = _many(tmp_path / "in", 20_000, 8)
    killed = _killed_often(source, tmp_path / "out.avro", 10, commit=512, workers=2, batch=128)
    assert killed == 10
    found = [p["candid"] for p in _packets(tmp_path / "out.avro")]
    assert sorted(found) == [c for c in range(1, 20_001) if c % 10]


def test_the_command_filters_says_and_sets_its_exit_code(
    alerts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["alerts", "filter", str(alerts), "-o", str(tmp_path / "o.csv"), "--no-check",
             "--model", "none", "-w", "1", "--where", "snr > 1"]  # fmt: skip
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["alerts"], told["kept"], told["poison"]) == (12, 12, 0)
    (tmp_path / "bad.avro").write_text("this is no packet")
    words[2] = str(tmp_path / "bad.avro")
    words[4] = str(tmp_path / "p.csv")
    assert main(words) == 1
    assert "1 packet set aside" in capsys.readouterr().err
    assert main([*words[:2], str(tmp_path / "gone"), *words[3:]]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert main([*words[:-1], "snr > "]) == 2
    assert "is no condition" in capsys.readouterr().err
