"""ZTF alert packets."""

from __future__ import annotations

import gzip
import io
import math
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pytest

from streaks.errors import AlertError
from streaks.readers.alerts import (
    Alert,
    StampBudget,
    alert_of_record,
    is_positive,
    read_alerts,
    with_difference,
)
from tests.made_alerts import image_with, ztf_record

_NUMBER = ["null", "double", "string"]
SCHEMA = {
    "type": "record", "name": "alert", "fields": [
        {"name": "objectId", "type": "string"},
        {"name": "candid", "type": "long"},
        {"name": "candidate", "type": ["null", {"type": "record", "name": "candidate", "fields": [
            {"name": n, "type": _NUMBER}
            for n in ("jd", "ra", "dec", "ssdistnr", "ssmagnr", "ssnamenr", "isdiffpos")
        ]}]},
        *({"name": n, "type": ["null", {"type": "record", "name": n, "fields": [
            {"name": "fileName", "type": "string"}, {"name": "stampData", "type": "bytes"},
        ]}]} for n in ("cutoutScience", "cutoutTemplate", "cutoutDifference")),
    ],
}  # fmt: skip


def _stamp(image: np.ndarray) -> dict[str, Any]:
    """As ZTF writes it: with a SIMPLE card of its own kind."""
    ny, nx = image.shape
    cards = [
        "SIMPLE  =  T",
        "BITPIX  =                  -32",
        "NAXIS   =                    2",
        f"NAXIS1  = {nx:20d}",
        f"NAXIS2  = {ny:20d}",
        "END",
    ]
    header = "".join(f"{card:<80}" for card in cards).ljust(2880).encode()
    data = image.astype(">f4").tobytes()
    content = header + data + b"\0" * (-len(data) % 2880)
    return {"fileName": "x.fits.gz", "stampData": gzip.compress(content)}  # fmt: skip


def _record(candid: int = 1, image: np.ndarray | None = None, **candidate: Any) -> dict[str, Any]:
    fields = {"jd": 2458158.6, "ra": 87.4, "dec": 22.8, "ssdistnr": -999.0, "ssmagnr": -999.0,
              "ssnamenr": "null", "isdiffpos": "t"}  # fmt: skip
    stamp = None if image is None else _stamp(image)
    return {"objectId": "ZTF18abc", "candid": candid, "candidate": {**fields, **candidate},
            "cutoutScience": stamp, "cutoutTemplate": None, "cutoutDifference": stamp}  # fmt: skip


def _write(path: Path, *records: dict[str, Any], codec: str = "null") -> Path:
    with path.open("wb") as stream:
        fastavro.writer(stream, SCHEMA, records, codec=codec)
    return path


@pytest.mark.parametrize("codec", ["null", "deflate", "snappy"])
def test_packets_of_every_codec_and_several_in_a_file(tmp_path: Path, codec: str) -> None:
    path = _write(tmp_path / "a.avro", _record(1), _record(2), codec=codec)
    alerts, failures = read_alerts(path)
    assert [alert.candid for alert in alerts] == [1, 2]
    assert alerts[0].name == "ZTF18abc_1"
    assert failures == []


def test_a_distance_of_zero_is_real_and_minus_999_is_none(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "a.avro",
        _record(1, ssdistnr=0.0, ssmagnr=18.7, ssnamenr="(24421)Djorgovski"),
        _record(2),
        _record(3, ssdistnr=None, ssmagnr=None, ssnamenr=None),
    )
    alerts, _ = read_alerts([path])
    assert (alerts[0].ssdistnr, alerts[0].ssnamenr) == (0.0, "(24421)Djorgovski")
    for alert in alerts[1:]:
        assert math.isnan(alert.ssdistnr)
        assert math.isnan(alert.ssmagnr)
        assert alert.ssnamenr == ""


def test_the_time_of_an_alert_is_half_an_exposure_after_its_jd(tmp_path: Path) -> None:
    (alert,), _ = read_alerts([_write(tmp_path / "a.avro", _record())])
    assert (alert.mid_jd() - alert.jd) * 86400 == pytest.approx(15.0, abs=1e-3)
    assert (alert.mid_jd(300.0) - alert.jd) * 86400 == pytest.approx(150.0, abs=1e-3)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("t", True), ("1", True), (True, True), ("f", False), ("0", False), (0, False),
     (None, None)],
)  # fmt: skip
def test_isdiffpos_has_many_spellings(value: Any, expected: bool | None) -> None:
    assert is_positive(value) is expected


def test_an_isdiffpos_that_says_nothing_is_refused() -> None:
    with pytest.raises(AlertError, match="isdiffpos is 'maybe'; expected t, f, 1, 0"):
        is_positive("maybe")


def test_stamps_keep_size_blanks_and_counts(tmp_path: Path) -> None:
    image = np.arange(58 * 63, dtype=np.float32).reshape(58, 63)
    image[3, 4] = np.nan
    (alert,), _ = read_alerts([_write(tmp_path / "a.avro", _record(image=image))])
    assert alert.difference is not None
    assert alert.difference.dtype == np.float32
    np.testing.assert_array_equal(alert.difference, image)
    assert alert.template is None
    (bare,), _ = read_alerts([tmp_path / "a.avro"], stamps=False)
    assert bare.difference is None


def test_negative_detections_get_their_true_sign_back(tmp_path: Path) -> None:
    image = np.ones((63, 61), np.float32)
    path = _write(
        tmp_path / "a.avro", _record(1, image, isdiffpos="f"), _record(2, image, isdiffpos="t")
    )
    (negative, positive), _ = read_alerts([path])
    assert negative.difference is not None
    assert negative.true_difference is not None
    assert negative.difference[0, 0] == 1.0  # as stored
    assert negative.true_difference[0, 0] == -1.0
    assert positive.true_difference is positive.difference


def test_a_jpeg_is_no_stamp(tmp_path: Path) -> None:
    record = _record()
    record["cutoutDifference"] = {"fileName": "x.jpg", "stampData": b"\xff\xd8\xff\xe0"}
    (alert,), failures = read_alerts([_write(tmp_path / "a.avro", record)])
    assert alert.difference is None
    assert failures == []


def test_what_does_not_decode_is_named_and_the_rest_is_kept(tmp_path: Path) -> None:
    _write(tmp_path / "good.avro", _record(1))
    whole = _write(tmp_path / "cut.avro", _record(2)).read_bytes()
    (tmp_path / "cut.avro").write_bytes(whole[:-40])
    (tmp_path / "text.avro").write_text("this is no alert")
    (tmp_path / "note.txt").write_text("not looked at")
    alerts, failures = read_alerts([tmp_path, tmp_path / "gone.avro"])
    assert [alert.candid for alert in alerts] == [1]
    reasons = {failure.path.name: failure.reason for failure in failures}
    assert "packet 1 does not decode" in reasons["cut.avro"]
    assert "neither an Avro file nor a tar archive" in reasons["text.avro"]
    assert "gone.avro does not exist" in reasons["gone.avro"]
    assert len(failures) == 3


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [({"jd": None}, "its jd is None; expected a number"), ({"isdiffpos": "x"}, "isdiffpos is 'x'")],
)
def test_a_packet_that_lacks_what_is_needed_is_named(
    tmp_path: Path, candidate: dict[str, Any], reason: str
) -> None:
    path = _write(tmp_path / "a.avro", _record(1, **candidate), _record(2))
    alerts, (failure,) = read_alerts([path])
    assert [alert.candid for alert in alerts] == [2]
    assert reason in str(failure)


def test_a_packet_of_another_kind_is_named(tmp_path: Path) -> None:
    record = {**_record(), "candidate": None}
    _, (failure,) = read_alerts([_write(tmp_path / "a.avro", record)])
    assert "has no `candidate` (ZTF) and no `diaSource` (Rubin)" in failure.reason


def test_archives_are_read_and_a_broken_member_does_not_end_them(tmp_path: Path) -> None:
    good = _write(tmp_path / "1.avro", _record(1)).read_bytes()
    with tarfile.open(tmp_path / "night.tar.gz", "w:gz") as archive:
        for name, content in (("1.avro", good), ("2.avro", good[:60]), ("3.avro", good)):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    alerts, failures = read_alerts(tmp_path / "night.tar.gz")
    assert len(alerts) == 2
    assert [failure.path.name for failure in failures] == ["2.avro"]
    broken = (tmp_path / "night.tar.gz").read_bytes()[:200]
    (tmp_path / "half.tar.gz").write_bytes(broken)
    _, failures = read_alerts(tmp_path / "half.tar.gz")
    assert "half.tar.gz" in str(failures[-1])


def test_the_real_collection(real_data: Callable[..., Path]) -> None:
    alerts, failures = read_alerts(real_data("alerts"))
    assert (len(alerts), len(failures)) == (189, 3)
    assert sum(math.isfinite(alert.ssdistnr) for alert in alerts) == 36
    assert len({alert.name for alert in alerts}) == 189
    # Stamps of negative detections are stored with a bright centre.
    centres = [
        float(np.nanmean(a.difference[30:33, 30:33]))
        for a in alerts
        if a.is_positive is False and a.difference is not None and a.difference.shape == (63, 63)
    ]
    assert len(centres) > 30
    assert np.mean(np.array(centres) > 0) > 0.95


def test_an_alert_needs_no_stamps() -> None:
    assert Alert(1, "ZTF18abc", 2458158.6, 1.0, 2.0, True).true_difference is None


def test_a_stamp_may_be_asked_for_later(tmp_path: Path) -> None:
    record = ztf_record(1, image_with(9.0, 30.0, seed=1))
    bare = alert_of_record(record, tmp_path)
    assert bare.difference is None
    at_once = alert_of_record(record, tmp_path, StampBudget(), wanted=("difference",))
    later = with_difference(bare, record)
    assert later.difference is not None
    np.testing.assert_array_equal(later.difference, at_once.difference)
    assert (later.candid, later.ra, later.image) == (bare.candid, bare.ra, bare.image)
    assert with_difference(bare, {**record, "cutoutDifference": None}).difference is None


@pytest.mark.parametrize("behind", [b"\0" * 600, b"rest"], ids=["padding", "text"])
def test_a_gzipped_stamp_of_any_size_and_end_is_unpacked(behind: bytes) -> None:
    """Small ones in one call, larger ones and those with something behind by the careful way."""
    for side in (63, 200):
        image = np.random.default_rng(side).normal(0, 9, (side, side)).astype(np.float32)
        packed = gzip.compress(fits_bytes(image))
        for content in (packed, packed + behind):
            np.testing.assert_array_equal(StampBudget().planes(content)[""], image)
    assert StampBudget().planes(packed[:-400]) == {}


def fits_bytes(image: np.ndarray[Any, Any]) -> bytes:
    from astropy.io import fits

    stream = io.BytesIO()
    fits.PrimaryHDU(image).writeto(stream)
    return stream.getvalue()


def test_an_alert_with_other_stamps_is_the_same_in_all_else() -> None:
    import dataclasses

    r2 = ((np.mgrid[:21, :21] - 10.0) ** 2).sum(axis=0)
    psf = np.exp(-r2 / 2.0)
    before = Alert(
        candid=7, object_id="a", jd=2461000.5, ra=1.0, dec=2.0, is_positive=True, psf=psf
    )
    narrow = before.fwhm_px  # worked out, and kept
    after = before.with_stamps({"psf": np.exp(-r2 / 8.0)})
    assert after.fwhm_px == pytest.approx(2.0 * narrow, rel=0.1)
    assert before.psf is psf
    for field in dataclasses.fields(Alert):
        if field.name != "psf":
            assert getattr(after, field.name) is getattr(before, field.name)
