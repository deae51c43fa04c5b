"""One frame's path through all rooms."""

from __future__ import annotations

from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from streaks.errors import ModelError, ReadError, TableError
from streaks.frame import Frame
from streaks.readers import FrameOverrides, find_frames
from streaks.search import Search, Searcher, join_columns
from streaks.tables import CLASS_COLUMNS, STREAK_COLUMNS, check_table
from tests.frame_files import SHAPE, add_trail, noise_image, write_ztf_frame
from tests.night_fakes import SURE, EvenClassifier

ENDS = (120.3, 80.6, 160.8, 110.2)
SETTINGS = SURE.settings


def write_trail_frame(folder: Path, **changes: object) -> Path:
    data = noise_image()
    add_trail(data, ENDS, flux=12000.0)
    return write_ztf_frame(folder, data, context=True, **changes)


def test_a_trail_is_found_named_and_measured(tmp_path: Path) -> None:
    (files,) = find_frames(write_trail_frame(tmp_path))
    result = Searcher(settings=SETTINGS, classifier=EvenClassifier()).search_files(files)
    check_table(result.streaks, [*STREAK_COLUMNS, *CLASS_COLUMNS])
    assert len(result.streaks) == 1
    row = result.streaks[0]
    ends = [row[name].to_value("pix") for name in ("x0", "y0", "x1", "y1")]
    np.testing.assert_allclose(ends, ENDS, atol=2.0)
    assert row["label"] == "asteroid"
    assert str(row["image"]) == files.name == result.name
    assert result.cutouts.names == (str(row["streak_id"]),)
    assert result.cutouts.science is not None
    assert result.overview is not None
    assert set(result.seconds) == {"read", "find", "cutouts", "classify", "evidence", "draw"}


def test_a_classifier_that_is_still_being_loaded_is_waited_for(tmp_path: Path) -> None:
    (files,) = find_frames(write_trail_frame(tmp_path))
    search = Search(settings=SETTINGS, load_classifier=EvenClassifier)
    at_once, ahead = (
        search.prepare(ahead=way).search_files(files, draw=False) for way in (False, True)
    )
    assert ahead.streaks["label"].tolist() == at_once.streaks["label"].tolist() == ["asteroid"]


def test_what_stops_a_classifier_from_loading_comes_up_where_it_is_asked(tmp_path: Path) -> None:
    def broken() -> EvenClassifier:
        raise ModelError("no such weights")

    (files,) = find_frames(write_trail_frame(tmp_path))
    searcher = Search(settings=SETTINGS, load_classifier=broken).prepare(ahead=True)
    with pytest.raises(ModelError, match="no such weights"):
        searcher.search_files(files, draw=False)


def test_without_classifier_or_catalogue_their_columns_are_not_there(tmp_path: Path) -> None:
    (files,) = find_frames(write_trail_frame(tmp_path))
    result = Searcher(settings=SETTINGS).search_files(files, draw=False)
    assert "label" not in result.streaks.colnames
    assert "ssnamenr" not in result.streaks.colnames
    assert result.overview is None


def test_nothing_found_is_a_table_of_no_rows_with_all_columns(tmp_path: Path) -> None:
    (files,) = find_frames(write_ztf_frame(tmp_path))
    result = Searcher(settings=SETTINGS, classifier=EvenClassifier()).search_files(
        files, draw=False
    )
    check_table(result.streaks, [*STREAK_COLUMNS, *CLASS_COLUMNS])
    assert len(result.streaks) == len(result.cutouts) == 0


class OneObject:
    """A catalogue whose one object is where the trail's midpoint is, 2 arcsec north."""

    def near_frame(self, frame: Frame) -> QTable:
        assert frame.wcs is not None
        ra, dec = frame.wcs.pixel_to_world_values((ENDS[0] + ENDS[2]) / 2, (ENDS[1] + ENDS[3]) / 2)
        zero = np.array([0.0])
        return QTable(
            {
                "name": ["2018 AB1"],
                "ra": [float(ra)] * u.deg,
                "dec": [float(dec) + 2 / 3600] * u.deg,
                "rate": zero * u.arcsec / u.s,
                "pa": zero * u.deg,
                "vmag": np.array([18.0]) * u.mag,
            }
        )


def test_a_known_object_under_a_trail_is_named(tmp_path: Path) -> None:
    (files,) = find_frames(write_trail_frame(tmp_path))
    searcher = Searcher(settings=SETTINGS, known=OneObject())
    row = searcher.search_files(files, draw=False).streaks[0]
    # The survey's spelling has no blank.
    assert str(row["ssnamenr"]).replace(" ", "") == "2018AB1"
    assert row["ssdistnr"].to_value("arcsec") == pytest.approx(2.0, abs=0.5)
    assert row["ssmagnr"].to_value("mag") == pytest.approx(18.0)


def test_overrides_reach_the_frame(tmp_path: Path) -> None:
    (files,) = find_frames(write_trail_frame(tmp_path))
    overrides = FrameOverrides(time="2020-01-01T00:00:00")
    result = Searcher(settings=SETTINGS, overrides=overrides).search_files(files, draw=False)
    assert str(result.streaks["time"][0]).startswith("2020-01-01T00:00:00")
    assert result.about["time"].startswith("2020-01-01T00:00:00")
    assert (result.about["ny"], result.about["nx"]) == SHAPE


def test_a_bad_frame_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "bad.fits"
    path.write_bytes(b"")
    (files,) = find_frames(path)
    with pytest.raises(ReadError, match="is empty"):
        Searcher(settings=SETTINGS).search_files(files)


def test_tables_of_other_streaks_are_not_joined() -> None:
    one, two = QTable({"streak_id": ["a", "b"]}), QTable({"streak_id": ["b", "a"]})
    with pytest.raises(TableError, match="do not hold the same streaks in the same order"):
        join_columns(one, two)
