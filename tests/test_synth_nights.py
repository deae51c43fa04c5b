"""Simulated nights: files as a survey writes them, and a truth that fits the pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from astropy.time import Time
from astropy.wcs import WCS

from streaks.errors import ConfigError, InputError
from streaks.geometry import Segment
from streaks.synth import NightConfig, make_night
from streaks.synth.nights.frames import FramePlan, Streak, draw_frame_conditions, render_frame

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

SHAPE = (300, 361)
#: Enough of everything to be seen in a small frame.
CONFIG = NightConfig(asteroid_length_px=(8.0, 40.0), asteroid_snr=(15.0, 60.0), satellites=1.0)


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_night(
        tmp_path_factory.mktemp("night") / "out", frames=4, seed=3, shape=SHAPE, config=CONFIG
    )


def differences(night: Path) -> Iterator[tuple[str, fits.Header, np.ndarray]]:
    for path in sorted(night.glob("*_scimrefdiffimg.fits.fz")):
        with fits.open(path) as units:
            assert units[0].data is None  # as ZTF's: the image is in HDU 1
            yield path.name.removesuffix(".fits.fz"), units[1].header, np.array(units[1].data)


def truth_of(night: Path) -> QTable:
    table = QTable.read(night / "truth.ecsv", format="ascii.ecsv")
    for name in ("name", "mover"):
        # ECSV reads an empty text as a missing one.
        table[name] = [str(text) if text is not np.ma.masked else "" for text in table[name]]
    return table


def test_files_carry_the_names_of_the_survey(night: Path) -> None:
    stems = [p.name.split("_scimrefdiffimg")[0] for p in night.glob("*_scimrefdiffimg.fits.fz")]
    assert len(stems) == 4
    for stem in stems:
        assert (night / f"{stem}_mskimg.fits").is_file()
        assert (night / f"{stem}_sciimg.fits").is_file()
        _, stamp, field, band, ccd, o, quadrant = stem.split("_")
        assert (night / f"ztf_{field}_{band}_{ccd}_{quadrant}_refimg.fits").is_file()
        assert len(stamp) == 14
        assert (band, o) == ("zr", "o")
    for name in ("truth.ecsv", "clutter.ecsv", "orbits.dat", "provenance.json"):
        assert (night / name).is_file()


def test_headers_tell_what_a_survey_tells(night: Path) -> None:
    for name, header, data in differences(night):
        assert data.shape == SHAPE
        assert header["EXPTIME"] == 30.0
        assert header["MAGZP"] == 26.3
        assert header["GAIN"] == 6.2
        opened, closed = Time(header["SHUTOPEN"]), Time(header["SHUTCLSD"])
        # OBSJD is the START of the exposure; a float of days holds 40 microseconds.
        assert abs(opened.jd - header["OBSJD"]) * 86400 < 1e-3
        assert (closed - opened).sec == pytest.approx(30.0, abs=1e-3)
        assert f"{int(header['FIELDID']):06d}" in name


def test_east_is_left_and_north_is_up(night: Path) -> None:
    for _, header, _ in differences(night):
        wcs = WCS(header)
        ra, dec = wcs.all_pix2world([100, 200, 100], [100, 100, 200], 0)
        assert ra[1] < ra[0]
        assert dec[2] > dec[0]
        assert np.sqrt(wcs.proj_plane_pixel_area().to_value("arcsec2")) == pytest.approx(
            1.01, abs=0.001
        )


def test_the_difference_has_the_noise_of_the_survey(night: Path) -> None:
    for _, _, data in differences(night):
        good = data[np.isfinite(data)]
        spread = 1.4826 * np.median(np.abs(good - np.median(good)))
        # ZTF's stamps have 9.7 to 16.2 DN (docs of the survey's alerts); clutter adds a little.
        assert 9 < spread < 19


def test_masked_cores_are_nan_and_sources_alone_are_not(night: Path) -> None:
    for path in night.glob("*_mskimg.fits"):
        mask = fits.getdata(path)
        difference = path.with_name(path.name.replace("_mskimg.fits", "_scimrefdiffimg.fits.fz"))
        data = fits.getdata(difference, 1)
        assert np.isnan(data[(mask & 256) > 0]).all()
        assert np.isfinite(data[(mask & ~2050) == 0]).all()


def test_truth_and_pixels_agree_on_where_asteroids_are(night: Path) -> None:
    truth = truth_of(night)
    images = {name: data for name, _, data in differences(night)}
    asteroids = truth[truth["label"] == "asteroid"]
    assert len(asteroids) >= 8
    bright = 0
    for row in asteroids:
        x = np.rint(np.linspace(row["x0"].value, row["x1"].value, 30)).astype(int)
        y = np.rint(np.linspace(row["y0"].value, row["y1"].value, 30)).astype(int)
        bright += float(np.nanmedian(images[row["image"]][y, x])) > 8
    assert bright >= 0.8 * len(asteroids)


def test_the_sky_places_of_the_truth_are_those_of_the_wcs(night: Path) -> None:
    truth = truth_of(night)
    headers = {name: header for name, header, _ in differences(night)}
    for row in truth:
        ra, dec = WCS(headers[row["image"]]).all_pix2world(row["x"].value, row["y"].value, 0)
        assert float(ra) == pytest.approx(row["ra"].value, abs=1e-6)
        assert float(dec) == pytest.approx(row["dec"].value, abs=1e-6)


def test_asteroids_in_the_orbit_file_are_where_it_puts_them(night: Path) -> None:
    from streaks.known import predict, read_orbits

    orbits, truth = read_orbits(night / "orbits.dat"), truth_of(night)
    known = truth[truth["name"] != ""]
    assert len(known) >= 2
    for row in known:
        one = orbits.select(orbits.designation == row["name"])
        # Orbits of the very day, which the night follows as two bodies.
        seen = predict(one, Time(row["time"], scale="utc"), "I41", dynamics="two-body")
        dec = np.radians(row["dec"].value)
        off = np.hypot(
            (seen["ra"][0] - row["ra"]).to_value("arcsec") * np.cos(dec),
            (seen["dec"][0] - row["dec"]).to_value("arcsec"),
        )
        # The straight trail bends by less than 0.1 arcsec in 30 s.
        assert off < 0.1
        assert seen["rate"][0].value == pytest.approx(row["rate"].value, rel=0.01)
        # V - r of an asteroid is about 0.25; brightness varies with distance meanwhile.
        assert seen["vmag"][0].value - row["mag"].value == pytest.approx(0.25, abs=0.1)


def test_an_asteroid_in_several_frames_moves_by_one_motion(night: Path) -> None:
    truth = truth_of(night)
    movers = truth["mover"].tolist()
    repeated = {m for m in movers if m and movers.count(m) >= 3}
    assert repeated
    for mover in repeated:
        rows = truth[[m == mover for m in movers]]
        seconds = (Time(rows["time"], scale="utc") - Time(rows["time"][0], scale="utc")).sec
        moved = np.hypot(
            (rows["ra"] - rows["ra"][0]).to_value("arcsec")
            * np.cos(np.radians(rows["dec"][0].value)),
            (rows["dec"] - rows["dec"][0]).to_value("arcsec"),
        )
        assert float(moved[-1] / seconds[-1]) == pytest.approx(rows["rate"][0].value, rel=0.02)


def test_the_same_seed_gives_the_same_files_for_any_number_of_workers(tmp_path: Path) -> None:
    def hashes(workers: int) -> dict[str, str]:
        folder = make_night(
            tmp_path / str(workers), frames=2, seed=9, shape=(200, 211), config=CONFIG,
            workers=workers,
        )  # fmt: skip
        return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}

    assert hashes(1) == hashes(2)


def test_orbits_of_ones_own_are_shown_where_they_are(night: Path, tmp_path: Path) -> None:
    from streaks.known import read_orbits

    orbits = read_orbits(night / "orbits.dat")
    # The same seed draws the same night, on which these orbits are near the Earth.
    again = make_night(
        tmp_path / "own", frames=1, seed=3, shape=SHAPE, config=CONFIG, orbits=orbits
    )
    names = set(truth_of(again)["name"].tolist())
    assert names & set(orbits.designation.tolist())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 0}, "frames is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"workers": 0}, "workers is 0"),
        ({"shape": (50, 400)}, "shape is 50 x 400; trails of 80 px"),
        ({"shape": (30000, 400)}, "at most 20000 px"),
    ],
)
def test_a_night_of_nonsense_is_refused(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_night(tmp_path / "x", **{"frames": 1, "seed": 1, **options})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stars": -1.0}, "stars is -1.0"),
        ({"asteroids": (5, 2)}, "asteroids is 5 to 2"),
        ({"known_share": 1.5}, "known_share is 1.5"),
        ({"exposure_s": 0.0}, "exposure_s is 0.0"),
    ],
)
def test_impossible_contents_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        NightConfig(**options)


def test_orbits_that_leave_no_streak_are_named(tmp_path: Path, night: Path) -> None:
    from dataclasses import replace

    from streaks.known import read_orbits

    orbits = read_orbits(night / "orbits.dat")
    faint = replace(orbits, h_mag=orbits.h_mag + 15)
    with pytest.raises(ConfigError, match=r"none of the \d+ orbits leaves"):
        make_night(tmp_path / "x", frames=1, seed=3, shape=SHAPE, config=CONFIG, orbits=faint)


def test_a_folder_in_use_is_refused(night: Path) -> None:
    with pytest.raises(InputError, match="is not empty"):
        make_night(night, frames=1, seed=1, shape=SHAPE)


def test_an_asteroid_has_the_flux_and_noise_that_the_truth_says() -> None:
    conditions = draw_frame_conditions(np.random.default_rng(2))
    bare = NightConfig(
        stars=0, dipoles=0, masked_stars=0, cosmic_rays=0, point_sources=0, ghosts=0, satellites=0
    )
    segment = Segment(60.0, 70.0, 95.0, 82.0)

    def frame(*streaks: Streak) -> tuple[np.ndarray, float]:
        plan = FramePlan("f", (150, 161), 4, conditions, streaks, bare, 5)
        made = render_frame(plan)
        return made.difference, made.truth[0].flux if made.truth else 0.0

    empty, _ = frame()
    full, flux = frame(Streak(segment, snr=40.0))
    # The same seed draws the same noise, but for the photons of the streak itself.
    light = float((full - empty).sum())
    photon_noise = np.sqrt(flux / conditions.gain)
    assert light == pytest.approx(flux, abs=5 * photon_noise)
    assert empty.std() == pytest.approx(conditions.sigma, rel=0.02)


def test_the_psf_is_wider_in_the_corners() -> None:
    conditions = draw_frame_conditions(np.random.default_rng(3))
    empty = {"stars": 0.0, "dipoles": 0.0, "masked_stars": 0.0, "cosmic_rays": 0.0}
    config = NightConfig(**empty, point_sources=0.0, ghosts=0.0, satellites=0.0, psf_variation=0.3)
    middle, corner = (Segment(x - 40, y, x + 40, y) for x, y in ((200.0, 150.0), (355.0, 290.0)))
    plan = FramePlan(
        "f", (301, 400), 4, conditions, (Streak(middle, snr=40.0), Streak(corner, snr=40.0)),
        config, 5,
    )  # fmt: skip
    fluxes = [thing.flux for thing in render_frame(plan).truth]
    # At equal S/N in white noise a long trail's flux goes as the root of its width; there the
    # PSF is 1 + 0.3 * (0.775**2 + 0.927**2) / 2 = 1.219 times as wide.
    assert fluxes[1] / fluxes[0] == pytest.approx(1.219**0.5, abs=0.04)


def test_an_impossible_variation_of_the_psf_is_refused() -> None:
    with pytest.raises(ConfigError, match="psf_variation is -1"):
        NightConfig(psf_variation=-1)
