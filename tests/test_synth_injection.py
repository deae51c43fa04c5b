"""Streaks in real images: by magnitude and motion or by counts and pixels, exact and repeatable."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS

from streaks.errors import ConfigError, FrameError, InputError, ReadError
from streaks.frame import Frame
from streaks.synth import Population, inject, inject_files
from streaks.synth.nights.sky_geometry import pointing_header

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

SHAPE = (240, 311)
LENGTHS = (10.0, 40.0)


def frame(**changes: object) -> Frame:
    rng = np.random.default_rng(1)
    values: dict[str, object] = {
        "data": rng.normal(0, 10, SHAPE).astype(np.float32),
        "mask": np.zeros(SHAPE, bool),
        "name": "image",
        "wcs": WCS(pointing_header(150.0, 20.0, SHAPE, scale_arcsec=1.01)),
        "time": Time("2020-01-01T06:00:15", scale="utc"),
        "exposure_s": 30.0,
        "fwhm_px": 2.5,
        "zero_point_mag": 26.3,
        "gain": 6.2,
    }
    return Frame(**{**values, **changes})  # type: ignore[arg-type]


def test_counts_add_up_to_the_truth() -> None:
    population = Population(n=5, flux=(5000.0, 9000.0), length_px=LENGTHS, photon_noise=False)
    before = frame()
    after, truth = inject(before, population, seed=1)
    light = (after.data.astype(float) - before.data).sum()
    assert light == pytest.approx(truth["flux"].value.sum(), rel=1e-3)


def test_a_magnitude_becomes_counts_by_the_zero_point() -> None:
    population = Population(n=3, mag=(17.0, 18.0), length_px=LENGTHS)
    _, truth = inject(frame(), population, seed=1)
    # m = zero point - 2.5 log10(counts), the definition of a zero point.
    np.testing.assert_allclose(
        truth["flux"].value, 10 ** (0.4 * (26.3 - truth["mag"].value)), rtol=1e-9
    )
    assert ((truth["mag"].value >= 17) & (truth["mag"].value <= 18)).all()


def test_a_rate_becomes_a_length_by_scale_and_exposure() -> None:
    population = Population(n=4, snr=(10.0, 20.0), rate_arcsec_per_s=(0.5, 1.0))
    _, truth = inject(frame(), population, seed=2)
    np.testing.assert_allclose(truth["length"].value, truth["rate"].value * 30.0 / 1.01, rtol=2e-3)
    assert ((truth["rate"].value > 0.499) & (truth["rate"].value < 1.001)).all()


def test_the_line_of_the_truth_has_the_position_angle_of_the_motion() -> None:
    population = Population(n=4, snr=(10.0, 20.0), rate_arcsec_per_s=(0.5, 1.0))
    _, truth = inject(frame(), population, seed=2)
    np.testing.assert_allclose(truth["pa"].value, truth["motion_pa"].value % 180.0, atol=0.01)


def test_the_signal_to_noise_is_that_of_the_matched_filter() -> None:
    before = frame()
    population = Population(n=1, snr=(30.0, 30.0), length_px=(25.0, 25.0), photon_noise=False)
    after, truth = inject(before, population, seed=3)
    light = after.data.astype(float) - before.data
    # S/N = sqrt(sum(signal^2)) / sigma (Nir, Zackay & Ofek 2018, AJ 156, 229); sigma is 10 here.
    assert np.sqrt((light**2).sum()) / 10.0 == pytest.approx(30.0, rel=0.05)
    assert truth["snr"][0] == pytest.approx(30.0)


def test_the_width_is_that_of_the_image() -> None:
    before = frame(data=np.random.default_rng(0).normal(0, 1e-3, SHAPE).astype(np.float32))
    population = Population(n=1, flux=(1e5, 1e5), length_px=(0.01, 0.01), photon_noise=False)
    after, truth = inject(before, population, seed=3)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    r2 = (x - truth["x"][0].value) ** 2 + (y - truth["y"][0].value) ** 2
    light = np.where(r2 < 144, after.data.astype(float), 0.0)
    sigma = np.sqrt((light * r2).sum() / light.sum() / 2)
    assert 2.3548 * sigma == pytest.approx(2.5, abs=0.05)


def test_the_science_image_gets_the_same_light() -> None:
    before = frame(science=np.full(SHAPE, 500.0, np.float32))
    after, _ = inject(before, Population(snr=(10.0, 20.0), length_px=LENGTHS), seed=1)
    assert after.science is not None
    np.testing.assert_allclose(after.science - 500.0, after.data - before.data, atol=1e-3)


def test_the_input_stays_as_it_was() -> None:
    before = frame()
    kept = before.data.copy()
    inject(before, Population(snr=(10.0, 20.0), length_px=LENGTHS), seed=1)
    np.testing.assert_array_equal(before.data, kept)


def test_the_same_seed_and_name_give_the_same_streaks() -> None:
    population = Population(snr=(10.0, 20.0), length_px=LENGTHS)
    one, two = (inject(frame(), population, seed=5)[0].data for _ in range(2))
    other = inject(frame(name="other"), population, seed=5)[0].data
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


def test_streaks_avoid_masked_areas() -> None:
    mask = np.zeros(SHAPE, bool)
    mask[:, :150] = True
    _, truth = inject(frame(mask=mask), Population(n=20, snr=(9, 9), length_px=(10, 20)), seed=1)
    assert (truth["x"].value > 140).all()


@pytest.mark.parametrize(
    ("changes", "population", "message"),
    [
        ({"fwhm_px": np.nan}, {}, "lacks the FWHM"),
        ({"gain": np.nan}, {}, "lacks the gain"),
        ({"zero_point_mag": np.nan}, {"snr": None, "mag": (17, 18)}, "lacks the zero point"),
        (
            {"exposure_s": np.nan, "wcs": None},
            {"length_px": None, "rate_arcsec_per_s": (1, 2)},
            "lacks the exposure time .* and a WCS",
        ),
        ({"mask": np.ones(SHAPE, bool)}, {}, "no room for a streak"),
        ({"data": np.zeros(SHAPE, np.float32)}, {}, "has no noise"),
    ],
)
def test_an_image_that_lacks_what_is_needed_is_named(
    changes: dict, population: dict, message: str
) -> None:
    wanted = {"snr": (9.0, 9.0), "length_px": LENGTHS, **population}
    with pytest.raises(FrameError, match=message):
        inject(frame(**changes), Population(**wanted), seed=1)


def test_streaks_longer_than_the_image_are_refused() -> None:
    with pytest.raises(ConfigError, match="streaks of up to 400 px do not fit"):
        inject(frame(), Population(snr=(9, 9), length_px=(10, 400)), seed=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0, "snr": (1, 2), "length_px": LENGTHS}, "n is 0"),
        ({"length_px": LENGTHS}, "brightness is given by nothing"),
        ({"snr": (1, 2), "mag": (17, 18), "length_px": LENGTHS}, "brightness is given by snr, mag"),
        ({"snr": (1, 2)}, "size is given by nothing"),
        ({"snr": (5, 2), "length_px": LENGTHS}, "snr is 5 to 2"),
        ({"flux": (-5, 2), "length_px": LENGTHS}, "flux is -5 to 2"),
        ({"mag": (17, 99), "length_px": LENGTHS}, "mag is 17 to 99"),
    ],
)
def test_an_impossible_population_is_refused(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Population(**options)


def read(path: Path) -> Frame:
    if not path.is_file():
        raise ReadError(f"{path} is missing")
    return frame(data=fits.getdata(path).astype(np.float32), name=path.stem)


def test_copies_keep_the_header_and_gain_the_light(tmp_path: Path) -> None:
    source = tmp_path / "one.fits"
    fits.PrimaryHDU(frame().data, fits.Header({"OBJECT": "field 7"})).writeto(source)
    population = Population(n=3, flux=(1e4, 1e4), length_px=LENGTHS, photon_noise=False)
    done, failures = inject_files(
        [source, tmp_path / "gone.fits"], tmp_path / "out", population, seed=1, read=read
    )
    assert done == 1
    assert [path.name for path, _ in failures] == ["gone.fits"]
    data, header = fits.getdata(tmp_path / "out" / "one.fits", header=True)
    assert header["OBJECT"] == "field 7"
    assert (data.astype(float) - frame().data).sum() == pytest.approx(3e4, rel=1e-3)
    assert (tmp_path / "out" / "truth.ecsv").is_file()


def test_when_no_image_can_be_used_nothing_is_left(tmp_path: Path) -> None:
    population = Population(snr=(9, 9), length_px=LENGTHS)
    with pytest.raises(ReadError, match="no image could be used"):
        inject_files([tmp_path / "gone.fits"], tmp_path / "out", population, seed=1, read=read)
    assert list(tmp_path.iterdir()) == []


def test_images_of_one_name_are_refused(tmp_path: Path) -> None:
    population = Population(snr=(9, 9), length_px=LENGTHS)
    paths = [tmp_path / "a" / "x.fits", tmp_path / "b" / "x.fits"]
    with pytest.raises(ConfigError, match=r"called x\.fits"):
        inject_files(paths, tmp_path / "out", population, seed=1, read=read)


def test_an_output_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    with pytest.raises(InputError, match="is not empty"):
        inject_files([], tmp_path, Population(snr=(9, 9), length_px=LENGTHS), seed=1, read=read)


def mixed(*labels: str, **options: object) -> Population:
    mix = dict.fromkeys(labels, 1.0)
    values: dict[str, object] = {"n": 4, "snr": (20.0, 30.0), "length_px": LENGTHS}
    return Population(mix=mix, **{**values, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "label", ["satellite", "masked_star", "ghost", "cosmic_ray", "naked_star", "yin_yang"]
)
def test_any_class_is_injected_at_the_signal_to_noise_asked_for(label: str) -> None:
    before = frame()
    population = mixed(label, n=1, artifact_snr=(50.0, 50.0), photon_noise=False)
    after, truth = inject(before, population, seed=4)
    light = (after.data.astype(float) - before.data)[~after.mask]
    assert truth["label"].tolist() == [label]
    # S/N = sqrt(sum(signal^2)) / sigma (Nir, Zackay & Ofek 2018, AJ 156, 229); sigma is 10 here.
    assert np.sqrt((light**2).sum()) / 10.0 == pytest.approx(50.0, rel=0.1)


def test_a_masked_star_is_masked_and_has_no_data() -> None:
    after, _ = inject(frame(), mixed("masked_star", n=3), seed=5)
    assert 20 < after.mask.sum() < 0.5 * after.mask.size
    assert np.isnan(after.data[after.mask]).all()


def test_what_is_no_line_has_a_place_but_no_ends() -> None:
    _, truth = inject(frame(), mixed("yin_yang"), seed=6)
    assert np.isfinite(truth["x"].value).all()
    assert np.isfinite(truth["ra"].value).all()
    for name in ("x0", "length", "theta", "pa", "rate", "mag"):
        assert np.isnan(truth[name].value).all()


def test_a_mix_holds_its_classes_and_asteroids_keep_their_magnitudes() -> None:
    population = mixed("asteroid", "yin_yang", n=20, snr=None, mag=(16.0, 17.0))
    _, truth = inject(frame(), population, seed=7)
    asteroids = truth["label"] == "asteroid"
    assert 4 <= asteroids.sum() <= 16
    mag = truth["mag"].value[asteroids]
    assert ((mag >= 16) & (mag <= 17)).all()


def test_a_mix_of_unknown_classes_is_refused() -> None:
    with pytest.raises(ConfigError, match="give shares above 0 of asteroid"):
        mixed("meteor")
    with pytest.raises(ConfigError, match="give shares above 0"):
        Population(snr=(5.0, 9.0), length_px=LENGTHS, mix={"ghost": 0.0})


def test_an_image_without_room_for_an_artifact_is_named() -> None:
    mask = np.ones(SHAPE, bool)
    mask[:3] = False
    with pytest.raises(FrameError, match="has no room for a ghost"):
        inject(frame(mask=mask), mixed("ghost"), seed=1)


def test_files_beside_an_image_come_along_with_the_light_in_the_science_image(
    tmp_path: Path,
) -> None:
    image, science, mask = (tmp_path / f"{name}.fits" for name in ("diff", "sci", "msk"))
    before = frame()
    fits.PrimaryHDU(before.data).writeto(image)
    fits.PrimaryHDU(before.data + 500).writeto(science)
    fits.PrimaryHDU(np.zeros(SHAPE, np.int16)).writeto(mask)
    out = tmp_path / "out"
    inject_files(
        [image],
        out,
        mixed("asteroid", n=2, photon_noise=False),
        seed=1,
        read=lambda path: before,
        beside=lambda path: {"science": science, "mask": mask},
    )
    assert (out / "msk.fits").read_bytes() == mask.read_bytes()
    difference, copy = (fits.getdata(out / f"{name}.fits") for name in ("diff", "sci"))
    np.testing.assert_allclose(copy - difference, 500.0, atol=1e-3)


def test_a_full_disk_is_named_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = tmp_path / "image.fits"
    fits.PrimaryHDU(frame().data).writeto(image)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fits.HDUList, "writeto", full)
    with pytest.raises(InputError, match="No space left on device; nothing was left there"):
        inject_files(
            [image], tmp_path / "out", mixed("asteroid"), seed=1, read=lambda path: frame()
        )
    assert [p.name for p in tmp_path.iterdir()] == ["image.fits"]
