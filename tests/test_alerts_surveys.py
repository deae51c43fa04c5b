"""Packets of Rubin, DECam and WINTER: real ones where they are beside the clone, and made ones."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pytest
from astropy.io import fits
from astropy.time import Time

from streaks.cutouts import measure_shapes, psf_moments
from streaks.errors import AccessError, AlertError, ConfigError, ReadError
from streaks.known import Orbits, read_orbits
from streaks.known.checker import AlertChecker, orbits_from_elements
from streaks.readers.alerts import (
    Alert,
    SchemaSource,
    alert_of_record,
    file_packets,
    message_packet,
    read_alerts,
)
from streaks.readers.alerts.stamps import image_planes
from streaks.streams.judge import Judge, _claims
from tests.frame_files import real_data as real_file
from tests.made_alerts import image_with, message, ztf_record

WHERE = Path("packet")


def _rubin(version: int, **changes: Any) -> dict[str, Any]:
    """A packet as a version of the schema spells it."""
    if version >= 10:
        source = {"diaSourceId": 7, "visit": 2026030900026, "detector": 9, "diaObjectId": 0,
                  "ssObjectId": 21, "midpointMjdTai": 61109.1447367893, "ra": 150.5, "dec": 3.85,
                  "psfFlux": 3630.78, "psfFluxErr": 36.3078, "snr": 100.0, "band": "g",
                  "isNegative": False, "isDipole": True, "reliability": 0.9, "trailLength": 1.5,
                  "trailAngle": -99.5, "trailFlux": 100.0, "glint_trail": True}  # fmt: skip
        return {"diaSourceId": 7, "diaSource": {**source, **changes},
                "ssSource": {"designation": "2000 AE144", "ephOffset": 0.02, "ephVmag": 0.0},
                "mpc_orbits": MPC_ORBIT}  # fmt: skip
    if version >= 7:
        source = {"diaSourceId": 7, "visit": 1, "detector": 2, "midpointMjdTai": 61109.1447367893,
                  "ra": 150.5, "dec": 3.85, "psfFlux": -3630.78, "psfFluxErr": 36.3078,
                  "band": "g"}  # fmt: skip
        return {"diaSource": {**source, **changes},
                "ssSource": {"residualRa": 3e-6, "residualDec": 4e-6, "predictedVMagnitude": 18.5},
                "MPCORB": {"mpcDesignation": "K00AE4E", "mpcH": 15.0, "q": 2.2, "e": 0.07,
                           "incl": 5.6, "node": 288.0, "peri": 224.0, "t_p": 61084.7,
                           "epoch": 61000.0}}  # fmt: skip
    source = {"diaSourceId": 7, "ccdVisitId": 12, "midPointTai": 61109.1447367893, "ra": 150.5,
              "decl": 3.85, "psFlux": 3630.78, "psFluxErr": 36.3078, "filterName": "g",
              "trailDecl": 3.86}  # fmt: skip
    return {"diaSource": {**source, **changes}}


MPC_ORBIT = {
    "designation": "2000 AE144", "packed_primary_provisional_designation": "K00AE4E",
    "unpacked_primary_provisional_designation": "2000 AE144",
    "mpc_orb_jsonb": json.dumps({"designation_data": {
        "permid": "50159", "iau_name": "", "unpacked_secondary_provisional_designations":
        ["1999 XX9"]}}),
    "q": 2.22712135925056, "e": 0.072326913118107, "i": 5.5819013929823, "node": 287.785329020737,
    "argperi": 223.9787465770459, "peri_time": 61084.6891549035, "epoch_mjd": 61000.0,
    "h": 15.039, "g": 0.15, "u_param": 0,
}  # fmt: skip


@pytest.mark.parametrize("version", [3, 9, 10])
def test_all_versions_of_rubins_schema_make_one_alert(version: int) -> None:
    alert = alert_of_record(_rubin(version), WHERE, schema_name=f"lsst.v{version}_0.alert")
    assert (alert.survey, alert.version, alert.observatory) == ("rubin", f"{version}.0", "X05")
    assert (alert.candid, alert.ra, alert.dec, alert.band) == (7, 150.5, 3.85, "g")
    # TAI to UTC by astropy: the middle of the exposure.
    utc = Time(61109.1447367893, format="mjd", scale="tai").utc.jd
    assert alert.mid_jd() == pytest.approx(utc, abs=1e-9)
    # 3630.78 nJy are 3631e-6 of the AB system's 3631 Jy: 9 decades, 22.5 mag.
    assert alert.mag == pytest.approx(22.5, abs=1e-4)
    assert alert.mag_err == pytest.approx(0.01086, abs=1e-4)
    assert alert.snr == pytest.approx(100.0)
    assert alert.is_positive is (version != 9)


def test_rubins_known_object_has_all_its_names_and_its_orbit() -> None:
    new = alert_of_record(_rubin(10), WHERE)
    assert (new.ssnamenr, new.ssdistnr) == ("2000 AE144", 0.02)
    assert math.isnan(new.ssmagnr)  # 0 where none was computed
    assert new.other_names == ("K00AE4E", "50159", "1999 XX9")
    assert new.orbit is not None
    assert new.orbit.tp_mjd == 61084.6891549035
    old = alert_of_record(_rubin(9), WHERE)
    assert (old.ssnamenr, old.ssmagnr) == ("K00AE4E", 18.5)
    assert old.ssdistnr == pytest.approx(0.018)  # degrees of 3 and 4 millionths
    assert old.orbit is not None
    assert (old.orbit.incl_deg, old.orbit.argperi_deg) == (5.6, 224.0)
    assert alert_of_record(_rubin(3), WHERE).orbit is None


def test_an_orbit_with_a_hole_is_none() -> None:
    record = _rubin(10)
    record["mpc_orbits"] = {**MPC_ORBIT, "peri_time": None}
    alert = alert_of_record(record, WHERE)
    assert alert.orbit is None
    assert alert.ssnamenr == "2000 AE144"


def test_names_in_a_hostile_json_are_left_out() -> None:
    for text in ("[" * 100_000, "{", '{"designation_data": [1]}', "null", 7):
        record = _rubin(10)
        record["mpc_orbits"] = {**MPC_ORBIT, "mpc_orb_jsonb": text}
        assert alert_of_record(record, WHERE).other_names == ("K00AE4E",)


def test_rubins_trail_and_flags_are_kept() -> None:
    alert = alert_of_record(_rubin(10), WHERE)
    assert (alert.trail.length_arcsec, alert.trail.angle_deg) == (1.5, 80.5)
    assert (alert.is_dipole, alert.is_glint, alert.reliability) == (True, True, 0.9)
    assert alert.image == "2026030900026_009"
    bare = alert_of_record(_rubin(3), WHERE)
    assert math.isnan(bare.trail.length_arcsec)
    assert bare.trail.dec == 3.86


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (_rubin(10, midpointMjdTai=None), "its midpointMjdTai is None; expected a number"),
        (_rubin(10, dec=float("nan")), "its dec is nan; expected a number"),
        (_rubin(10, midpointMjdTai=1e300), "expected a date"),
        ({"candidate": {"jd": "x", "ra": 1.0, "dec": 1.0}}, "its jd is 'x'"),
        ({"diaSource": None}, "has no `candidate`"),
        ([], "has no `candidate`"),
    ],
)
def test_packets_without_time_or_place_are_named(record: Any, reason: str) -> None:
    with pytest.raises(AlertError, match=reason.replace("`", ".").replace("'", "'?")):
        alert_of_record(record, WHERE)


def test_a_row_of_a_broker_may_be_flat_or_dotted() -> None:
    nested = alert_of_record(_rubin(10), WHERE)
    dotted = {f"diaSource.{k}": v for k, v in _rubin(10)["diaSource"].items()}
    for row in (dotted, _rubin(10)["diaSource"]):
        assert alert_of_record(row, WHERE).mag == nested.mag
    flat = {"objectId": "ZTF1", **ztf_record(5)["candidate"], "candid": 5}
    assert alert_of_record(flat, WHERE).name == "ZTF1_5"


def test_winters_and_decams_packets_are_their_own() -> None:
    winter = ztf_record(3, exptime=120.0)
    winter |= {"publisher": "WINTER-mirar", "objectid": "WNTR1", "objectId": ""}
    alert = alert_of_record(winter, WHERE)
    assert (alert.survey, alert.object_id, alert.flipped) == ("winter", "WNTR1", False)
    assert (alert.mid_jd() - alert.jd) * 86400 == pytest.approx(60.0, abs=1e-3)
    decam = {"publisher": "DESIRT", "objectId": "c4d", "candid": 4, "candidate": {
        "mjd": 61229.08, "ra": 1.0, "dec": 2.0, "isdiffpos": 1, "band": "g",
        "psfFlux": 1375.25, "psfFluxErr": 255.2, "reliability": 0.9}}  # fmt: skip
    alert = alert_of_record(decam, WHERE)
    assert (alert.survey, alert.observatory, alert.jd) == ("decam", "W84", 2461229.58)
    assert alert.mag == pytest.approx(23.554, abs=1e-3)


# ------------------------------------------------------------------------------------- stamps


def _hdus(*hdus: Any) -> bytes:
    stream = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(stream)
    return stream.getvalue()


def test_planes_of_a_stamp_are_those_that_astropy_reads() -> None:
    image = np.arange(30 * 31, dtype=np.float32).reshape(30, 31)
    variance = fits.ImageHDU(image + 1, name="UNCERT")
    variance.header["UTYPE"] = "VarianceUncertainty"
    planes = image_planes(
        _hdus(fits.PrimaryHDU(image), variance, fits.ImageHDU(image[:5, :5] / 3, name="PSFIMAGE"))
    )
    np.testing.assert_array_equal(planes[""], image)
    np.testing.assert_array_equal(planes["variance"], image + 1)
    np.testing.assert_array_equal(planes["psf"], image[:5, :5] / 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float64])
def test_stamps_of_all_kinds_of_numbers_are_read(dtype: Any) -> None:
    image = np.arange(63 * 62).reshape(63, 62).astype(dtype)
    hdu = fits.PrimaryHDU(image)
    np.testing.assert_array_equal(image_planes(_hdus(hdu))[""], image.astype(np.float32))


def test_scaled_and_blank_pixels_are_put_right() -> None:
    hdu = fits.PrimaryHDU(np.array([[1, 2, -99], [3, 4, 5]], np.int16))
    content = bytearray(_hdus(hdu))
    at = content.index(b"END".ljust(80))
    cards = b"".join(
        card.ljust(80) for card in
        (b"BSCALE  =                  2.0", b"BZERO   =                 10.0",
         b"BLANK   =                  -99", b"END")
    )  # fmt: skip
    content[at : at + len(cards)] = cards
    expected = [[12, 14, np.nan], [16, 18, 20]]
    np.testing.assert_array_equal(image_planes(bytes(content))[""], expected)


def test_a_stamps_wcs_turns_pixels_into_east_and_north() -> None:
    hdu = fits.PrimaryHDU(np.zeros((9, 9), np.float32))
    assert "sky" not in image_planes(_hdus(hdu))
    for word, value in (("CRVAL1", 150.0), ("PC1_1", -4e-5), ("PC1_2", 3e-5), ("PC2_1", 3e-5),
                        ("PC2_2", 4e-5), ("CDELT1", 1.0), ("CDELT2", 2.0)):  # fmt: skip
        hdu.header[word] = value
    sky = image_planes(_hdus(hdu))["sky"]
    np.testing.assert_allclose(sky, [[-4e-5, 3e-5], [6e-5, 8e-5]])
    hdu.header["PC1_1"] = "none"
    assert "sky" not in image_planes(_hdus(hdu))


def test_a_deviation_is_squared() -> None:
    image = np.full((8, 8), 3.0, np.float32)
    sigma = fits.ImageHDU(image, name="UNCERT")
    sigma.header["UTYPE"] = "StdDevUncertainty"
    assert (image_planes(_hdus(fits.PrimaryHDU(image), sigma))["variance"] == 9.0).all()


def test_what_is_no_stamp_gives_no_planes() -> None:
    whole = _hdus(fits.PrimaryHDU(np.zeros((30, 30), np.float32)))
    cube = _hdus(fits.PrimaryHDU(np.zeros((2, 3, 3), np.float32)))
    large = _hdus(fits.PrimaryHDU(np.zeros((1, 2000), np.float32)))
    for content in (b"", b"SIMPLE", whole[:2880], whole[:4000], b"\xff\xd8" + whole, cube, large):
        assert image_planes(content) == {}


# ------------------------------------------------------------------------------------- shapes


@pytest.mark.parametrize(
    ("fwhm_px", "share"), [(1.8, 3.0), (1.8, 6.0), (2.5, 3.0), (2.5, 6.0), (4.0, 6.0), (7.0, 3.0)]
)
def test_the_length_of_a_trail_has_an_error_that_is_right(fwhm_px: float, share: float) -> None:
    images = [
        image_with(share * fwhm_px, 40.0, seed=k, fwhm_px=fwhm_px).astype(np.float32)
        for k in range(30)
    ]
    psf = psf_moments(image_with(0.0, 1e6, fwhm_px=fwhm_px, side=41))
    found = measure_shapes(images, psfs=[psf] * 30)
    assert not found.is_point.any()
    off = found.length_px / (share * fwhm_px) - 1.0
    assert abs(np.median(off)) < 0.08
    # The error holds what the PSF is not known to, beside noise.
    pulls = (found.length_px - share * fwhm_px) / found.length_err_px
    assert np.mean(np.abs(pulls) < 2.0) > 0.9


@pytest.mark.parametrize("snr", [8.0, 20.0, 60.0])
@pytest.mark.parametrize("known", [True, False])
def test_points_are_settled_on_the_stamp_and_trails_are_not(snr: float, known: bool) -> None:
    psf = psf_moments(image_with(0.0, 1e6, side=41)) if known else None
    points = [image_with(0.0, snr, seed=k).astype(np.float32) for k in range(60)]
    least = 0.5 if snr < 10 else 0.8
    assert measure_shapes(points, psfs=[psf] * 60).is_point.mean() > least
    trails = [image_with(8.0, snr, seed=k).astype(np.float32) for k in range(60)]
    assert measure_shapes(trails, psfs=[psf] * 60).is_point.mean() <= 0.05


def test_elongation_is_the_ratio_of_axes() -> None:
    y, x = np.mgrid[:41, :41] - 20.0
    rng = np.random.default_rng(1)
    image = 1000.0 * np.exp(-0.5 * (x**2 / 9.0 + y**2 / 4.0)) + rng.normal(0, 1, (41, 41))
    found = measure_shapes([image.astype(np.float32)])
    assert found.elongation[0] == pytest.approx(1.5, abs=0.02)
    assert found.theta_deg[0] % 180.0 == pytest.approx(0.0, abs=2.0) or found.theta_deg[0] > 178.0


def test_stamps_with_nothing_to_fit_tell_nothing() -> None:
    stamps = [None, np.full((30, 30), np.nan, np.float32), np.zeros((30, 30), np.float32),
              np.zeros((3, 3), np.float32)]  # fmt: skip
    found = measure_shapes(stamps)
    assert np.isnan(found.snr).all()
    assert not found.is_point.any()
    assert len(measure_shapes([]).snr) == 0


# ------------------------------------------------------------------------------------ schemas


def test_schemas_come_from_a_folder_by_number_or_lssts_names(tmp_path: Path) -> None:
    inner = {"type": "record", "name": "diaSource", "namespace": "lsst.v9_0",
             "fields": [{"name": "ra", "type": "double"}]}  # fmt: skip
    outer = {"type": "record", "name": "alert", "namespace": "lsst.v9_0", "fields": [
        {"name": "diaSource", "type": "lsst.v9_0.diaSource"},
        {"name": "more", "type": {"type": "array", "items": "lsst.v9_0.diaSource"}}]}  # fmt: skip
    place = tmp_path / "9" / "0"
    place.mkdir(parents=True)
    (place / "lsst.v9_0.alert.avsc").write_text(json.dumps(outer))
    (place / "lsst.v9_0.diaSource.avsc").write_text(json.dumps(inner))
    whole = json.loads(SchemaSource(tmp_path).schema(900))
    assert whole["fields"][0]["type"]["fields"][0]["name"] == "ra"
    assert whole["fields"][1]["type"]["items"] == "lsst.v9_0.diaSource"
    assert SchemaSource(place).schema(900) == SchemaSource(tmp_path).schema(900)
    fastavro.parse_schema(whole)


def test_schemas_that_are_not_there_or_none_are_named(tmp_path: Path) -> None:
    source = SchemaSource(tmp_path)
    with pytest.raises(ReadError, match="the number 5 and is not known; give --schemas"):
        source.schema(5)
    (tmp_path / "6.avsc").write_text('{"type": "record", "name": "a", "fields": [{"type": "b.c"}]}')
    with pytest.raises(ReadError, match=r"b\.c\.avsc does not exist"):
        source.schema(6)
    (tmp_path / "7.avsc").write_text(
        '{"type": "record", "name": "a", "fields": [{"type": "../b"}]}'
    )
    with pytest.raises(ReadError, match=r"names a type '\.\./b'"):
        source.schema(7)
    with pytest.raises(ConfigError, match="is no folder and no address"):
        SchemaSource(tmp_path / "none")


def test_schemas_come_from_a_registry_with_what_they_refer_to() -> None:
    import http.server
    import threading

    asked: list[tuple[str, str | None]] = []
    inner = '{"type": "record", "name": "b", "namespace": "x", "fields": []}'
    outer = ('{"type": "record", "name": "a", "namespace": "x", "fields": '
             '[{"name": "b", "type": "x.b"}]}')  # fmt: skip
    answers = {
        "/schemas/ids/3": {"schema": outer, "references": [
            {"name": "x.b", "subject": "s/b", "version": 2}]},
        "/subjects/s%2Fb/versions/2": {"schema": inner},
    }  # fmt: skip

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers.get("Authorization")))
            found = answers.get(self.path)
            self.send_response(200 if found else 404)
            self.end_headers()
            self.wfile.write(json.dumps(found or {}).encode())

        def log_message(self, *args: Any) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    try:
        source = SchemaSource(f"http://me:secret@127.0.0.1:{port}/")
        assert json.loads(source.schema(3))["fields"][0]["type"]["name"] == "b"
        source.schema(3)
        assert [path for path, _ in asked] == list(answers)  # once each
        assert asked[0][1] == "Basic bWU6c2VjcmV0"
        with pytest.raises(ReadError, match="answers 404"):
            source.schema(4)
    finally:
        server.shutdown()
        server.server_close()
    # A registry that is away is no fault of the packet.
    with pytest.raises(AccessError, match="cannot be reached"):
        message_packet(message(ztf_record(1), 8), WHERE, SchemaSource(f"http://127.0.0.1:{port}"))


def test_a_message_of_another_schema_is_named(tmp_path: Path) -> None:
    (tmp_path / "1.avsc").write_text(
        '{"type": "record", "name": "a", "fields": [{"name": "x", "type": "int"}]}'
    )
    found = message_packet(message(ztf_record(1), 1), WHERE, SchemaSource(tmp_path))
    assert "it is of another schema" in getattr(found, "reason", "")
    assert getattr(found, "content", b"") == message(ztf_record(1), 1)


# --------------------------------------------------------------------------------- real packets


@pytest.fixture(scope="module")
def rubin() -> list[Alert]:
    alerts, failures = read_alerts(real_file("real-frames", "rubin", "avro"))
    assert (len(alerts), failures) == (42, [])
    return alerts


def test_every_shared_packet_is_read(real_data: Callable[..., Path]) -> None:
    found = [p for f in sorted(real_data("real-frames", "packets").glob("*.avro"))
             for p in file_packets(f)]  # fmt: skip
    surveys = {}
    for packet in found:
        record = getattr(packet, "record", None)
        if record is not None:
            surveys[alert_of_record(record, WHERE).survey] = record
    assert {"decam", "winter"} <= set(surveys)
    alerts, failures = read_alerts(real_data("real-frames", "packets"))
    assert len(alerts) + len(failures) == 3
    for failure in failures:  # the message of Rubin, where LSST's schemas are not installed
        assert "has the number 900 and is not known" in failure.reason
    assert all(alert.difference is not None for alert in alerts)


def _checked(
    alerts: list[Alert], orbits: Orbits | None, *, own: bool = True, names: bool = True
) -> Any:
    rows = [None if a.orbit is None or not own else dataclasses.asdict(a.orbit) for a in alerts]
    claims = _claims(alerts)
    if not names:
        claims["ssothernames"] = [""] * len(claims)
    return AlertChecker(orbits).check(claims, [a.observatory for a in alerts], rows)


def test_rubins_own_distances_are_found_again_with_its_own_orbits(rubin: list[Alert]) -> None:
    named = [a for a in rubin if a.orbit is not None and a.ssnamenr]
    assert len(named) == 6
    found = _checked(named, None)
    assert set(found["verdict"]) == {"agree"}
    assert set(found["orbit"]) == {"packet"}
    sep = found["sep"].to_value("arcsec")
    assert np.median(sep) <= 0.05
    # The packet's ephOffset is the same thing, by Rubin's own code.
    np.testing.assert_allclose(sep, [a.ssdistnr for a in named], atol=1e-3)


def test_numbered_objects_called_by_designation_are_right(
    rubin: list[Alert], real_data: Callable[..., Path]
) -> None:
    """With a catalogue that knows them by number and name alone, and packets' own orbits or not."""
    named = read_orbits(real_data("orbits", "mpcorb_named_22304_K25BL.dat.gz"))
    for own in (True, False):
        for names in (True, False):
            found = _checked(rubin, named, own=own, names=names)
            assert set(found["verdict"]) <= {"agree", "none"}
            there = np.isfinite(found["sep"].to_value("arcsec"))
            assert set(found["verdict"][there]) == {"agree"}
            assert there.sum() == (7 if own else 3)
            assert np.median(found["sep"][there].to_value("arcsec")) <= 0.05


def test_orbits_under_their_designations_agree_too(
    rubin: list[Alert], real_data: Callable[..., Path]
) -> None:
    found = _checked(rubin, read_orbits(real_data("real-frames", "rubin") / "rubin_orb.dat"))
    there = np.isfinite(found["sep"].to_value("arcsec"))
    assert there.sum() == 6
    assert set(found["verdict"][there]) == {"agree"}
    assert np.median(found["sep"][there].to_value("arcsec")) <= 0.05


def test_a_wrong_name_is_still_wrong(rubin: list[Alert], real_data: Callable[..., Path]) -> None:
    """Of an asteroid that is in the catalogue, under a number that is another's."""
    catalogue = read_orbits(real_data("orbits", "mpcorb_named_22304_K25BL.dat.gz"))
    (apostel,) = [a for a in rubin if a.ssnamenr == "1989 GF4"]
    other = dataclasses.replace(apostel, ssnamenr="1999 XX1", other_names=("13903",), orbit=None)
    found = _checked([other], catalogue)
    assert found["verdict"][0] == "wrong_name"
    assert "Darrylwatanabe" in found["note"][0]
    farther = dataclasses.replace(apostel, ssdistnr=12.0)
    assert _checked([farther], catalogue)["verdict"][0] == "wrong_distance"


def test_a_packets_orbit_that_cannot_be_followed_changes_nothing() -> None:
    alert = alert_of_record(_rubin(10), WHERE)
    assert alert.orbit is not None
    wild = dataclasses.replace(alert, orbit=dataclasses.replace(alert.orbit, q_au=1e-300, e=1e9))
    assert _checked([wild], None)["verdict"][0] == "none"
    elements = orbits_from_elements([dataclasses.asdict(alert.orbit)])
    assert elements.a_au[0] == pytest.approx(2.40076, abs=1e-4)


def _truth(folder: Path) -> list[tuple[str, Alert]]:
    with (folder / "truth.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "cutout"]
    found = []
    for row in rows:
        planes = image_planes((folder / row["file"]).read_bytes())
        alert = Alert(
            1, "", 0.0, 0.0, 0.0, not row["truth"].startswith("negative"), flipped=False,
            difference=planes[""], variance=planes.get("variance"), psf=planes.get("psf"),
            sky=planes.get("sky"), survey="rubin",
        )  # fmt: skip
        found.append((row["truth"], alert))
    return found


def test_rubins_trail_lies_as_the_packet_says(real_data: Callable[..., Path]) -> None:
    """The one clear trail: its packet has a trailAngle of -87.8 deg."""
    folder = real_data("real-frames", "truth.csv").parent
    (trail,) = [alert for what, alert in _truth(folder) if what == "asteroid trail"]
    words = Judge().words([trail])
    assert (words["pa"][0] - (-87.8) + 90.0) % 180.0 - 90.0 == pytest.approx(0.0, abs=5.0)
    assert 1.5 < words["length_arcsec"][0] < 2.5


def test_few_of_rubins_points_are_trails_and_the_trail_is_one(
    real_data: Callable[..., Path],
) -> None:
    from streaks.models import load_classifier

    told = _truth(real_data("real-frames", "truth.csv").parent)
    words = Judge(load_classifier()).words([alert for _, alert in told])
    label = dict.fromkeys(words["label"].tolist())
    assert "unresolved" in label
    trailed = np.isin(words["label"], ["asteroid", "satellite"])
    is_point = np.array(["point source" in what or "unresolved" in what for what, _ in told])
    assert is_point.sum() == 71
    assert trailed[is_point].mean() <= 0.05
    (trail,) = np.flatnonzero([what == "asteroid trail" for what, _ in told])
    assert words["label"][trail] == "asteroid"
    assert words["length"][trail] > 3.0 * words["length_err"][trail]
    # No dipole is settled without the network but one of S/N 9.
    dipole = np.array([what == "yin_yang" for what, _ in told])
    assert (words["settled"][dipole] == "stamp").sum() <= 1
