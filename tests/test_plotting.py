"""Pictures: what is marked, where, and that it never hides the data."""

import itertools
import sys
from dataclasses import replace

import numpy as np
import pytest

from streaks import palette, plotting
from streaks.cutouts import extract_cutouts
from streaks.errors import FrameError, StreaksError
from streaks.frame import Frame
from streaks.geometry import Segment
from streaks.plotting.kernels import shrink_by_area
from streaks.tables import CLASSES, SKIP, empty_streaks
from tests.made_streaks import SEGMENTS, SHAPE, made_frame, made_night, made_streaks

LEGEND = 46
MASK = (52, 66, 104)


def quiet_frame(shape=SHAPE, level=0.0) -> Frame:
    return Frame(data=np.full(shape, level), mask=np.zeros(shape, bool), name="quiet")


def pixels_of(picture, rgb, tolerance=12):
    """(x, y) of the pixels near a colour, y downwards from the top."""
    close = np.all(np.abs(picture.astype(int) - rgb) <= tolerance, axis=-1)
    y, x = np.nonzero(close)
    return x, y


def test_an_overview_keeps_the_frames_shape():
    picture = plotting.frame_overview(quiet_frame((300, 1204)), empty_streaks(), max_px=602)
    assert picture.shape == (150 + LEGEND, 602, 3)
    assert picture.dtype == np.uint8


def test_a_small_frame_grows_by_whole_multiples():
    picture = plotting.frame_overview(quiet_frame((200, 301)), empty_streaks(), max_px=1000)
    assert picture.shape == (600 + LEGEND, 903, 3)


def test_a_long_name_below_a_small_frame_is_whole():
    name = "ztf_20181102326655_000362_zr_c01_o_q1_scimrefdiffimg"
    frame = replace(quiet_frame((200, 300)), name=name)
    title = plotting.frame_overview(frame, empty_streaks(), max_px=300)[-LEGEND:][:22]
    margin = title[:, -4:]
    assert (margin == margin[0, 0]).all()
    assert (title != margin[0, 0]).any()


def test_marks_lie_beside_the_streak_and_y_points_up():
    streaks = made_streaks([Segment(200.0, 700.0, 400.0, 700.0)], ["asteroid"])
    picture = plotting.frame_overview(quiet_frame(), streaks, max_px=1204)
    x, y = pixels_of(picture[: SHAPE[0]], palette.class_rgb("asteroid"))
    lines = y[(x > 210) & (x < 390)]
    track = SHAPE[0] - 1 - 700
    assert set(np.abs(lines - track)) <= {6, 7, 8}
    assert (lines < track).any()
    assert (lines > track).any()


def test_marks_never_cover_the_track():
    segment = Segment(200.0, 300.0, 500.0, 420.0)
    frame = made_frame([segment], seed=3)
    plain = plotting.frame_overview(frame, empty_streaks(), max_px=1204)
    marked = plotting.frame_overview(frame, made_streaks([segment], ["ghost"]), max_px=1204)
    for t in np.linspace(0.02, 0.98, 25):
        x = round(200 + 300 * t)
        y = SHAPE[0] - 1 - round(300 + 120 * t)
        np.testing.assert_array_equal(plain[y, x], marked[y, x])


@pytest.mark.parametrize("max_px", [301, 602, 1204])
def test_a_faint_long_streak_is_brighter_than_the_sky_at_any_reduction(max_px):
    # Total S/N of about 20 over 600 px: half a sigma in its brightest pixels.
    segment = Segment(300.0, 300.0, 900.0, 300.0)
    rng = np.random.default_rng(5)
    data = rng.normal(0, 10, SHAPE)
    profile = np.exp(-0.5 * ((np.arange(SHAPE[0]) - 300) / 1.06) ** 2)
    data[:, 300:900] += 5.0 * profile[:, None]
    frame = Frame(data=data, mask=np.zeros(SHAPE, bool), fwhm_px=2.5)
    picture = plotting.frame_overview(frame, empty_streaks(), max_px=max_px)[:-LEGEND, :, 0]
    scale = max_px / SHAPE[1]
    row = round((SHAPE[0] - 1 - segment.y0) * scale)
    inside = slice(round(320 * scale), round(880 * scale))
    track = picture[row - 1 : row + 2, inside].mean(axis=1).max()
    sky = picture[row + 20 : row + 60, inside]
    assert track > sky.mean() + 5 * sky.mean(axis=1).std()


def test_masked_areas_are_tinted_and_nowhere_else():
    frame = quiet_frame()
    frame.mask[100:200, 300:400] = True
    picture = plotting.frame_overview(frame, empty_streaks(), max_px=1204)[:-LEGEND]
    x, y = pixels_of(picture, MASK, tolerance=0)
    assert (x.min(), x.max()) == (300, 399)
    assert (y.min(), y.max()) == (SHAPE[0] - 200, SHAPE[0] - 101)


def test_nan_pixels_count_as_masked():
    frame = quiet_frame()
    frame.data[100:200, 300:400] = np.nan
    picture = plotting.frame_overview(frame, empty_streaks(), max_px=1204)[:-LEGEND]
    assert len(pixels_of(picture, MASK, tolerance=0)[0]) == 100 * 100


def test_a_gradient_is_taken_out():
    yy, xx = np.mgrid[: SHAPE[0], : SHAPE[1]]
    noise = np.random.default_rng(1).normal(0, 10, SHAPE)
    frame = Frame(data=noise + 0.5 * xx + 0.3 * yy, mask=np.zeros(SHAPE, bool))
    picture = plotting.frame_overview(frame, empty_streaks(), max_px=602)[:-LEGEND, :, 0]
    corners = [picture[30:80, 30:80].mean(), picture[-80:-30, -80:-60].mean()]
    assert abs(corners[0] - corners[1]) < 10


@pytest.mark.parametrize("level", [0.0, np.nan])
def test_a_frame_without_signal_is_drawn(level):
    picture = plotting.frame_overview(quiet_frame(level=level), empty_streaks(), max_px=400)
    assert len(np.unique(picture[:-LEGEND].reshape(-1, 3), axis=0)) == 1


def test_a_frame_one_pixel_high_is_drawn():
    picture = plotting.frame_overview(quiet_frame((1, 500)), empty_streaks(), max_px=400)
    assert picture.shape[0] == 1 + LEGEND


def test_a_streak_outside_the_frame_is_not_marked():
    outside = made_streaks([Segment(5000.0, 5000.0, 5100.0, 5000.0)], ["asteroid"])
    drawn = plotting.frame_overview(quiet_frame(), outside)
    assert len(pixels_of(drawn[:-LEGEND], palette.class_rgb("asteroid"))[0]) == 0


def test_truth_is_marked_at_its_ends():
    truth = made_streaks([Segment(200.0, 300.0, 600.0, 300.0)])
    drawn = plotting.frame_overview(quiet_frame(), empty_streaks(), truth, max_px=1204)
    x, y = pixels_of(drawn[:-LEGEND], (255, 255, 255), tolerance=60)
    assert len(x) > 0
    assert all(min(abs(px - 200), abs(px - 600)) <= 8 for px in x)
    assert np.abs(y - (SHAPE[0] - 1 - 300)).max() <= 8


def test_truth_that_is_no_line_is_not_marked():
    truth = made_streaks([Segment(200.0, 300.0, 600.0, 300.0)])
    truth["x0"] = np.nan * truth["x0"].unit
    plain = plotting.frame_overview(quiet_frame(), empty_streaks())
    drawn = plotting.frame_overview(quiet_frame(), empty_streaks(), truth)
    np.testing.assert_array_equal(plain[:-LEGEND], drawn[:-LEGEND])


def test_marking_truth_leaves_the_given_picture_alone():
    plain = plotting.frame_overview(quiet_frame(), empty_streaks())
    before = plain.copy()
    plotting.mark_truth(plain, made_streaks(SEGMENTS), SHAPE)
    np.testing.assert_array_equal(plain, before)


def test_streaks_without_classes_are_drawn_white():
    streaks = made_streaks([Segment(200.0, 300.0, 600.0, 300.0)])
    streaks.remove_column("label")
    drawn = plotting.frame_overview(quiet_frame(), streaks, max_px=1204)
    assert len(pixels_of(drawn[:-LEGEND], (255, 255, 255))[0]) > 500


def test_a_tiny_overview_is_refused():
    with pytest.raises(FrameError, match="an overview of 50 px shows nothing; give at least 100"):
        plotting.frame_overview(quiet_frame(), empty_streaks(), max_px=50)


def test_stretch_rises_with_the_data():
    values = np.linspace(-5, 60, 400).reshape(20, 20)
    noise = np.random.default_rng(0).normal(0, 1, (4000, 20))
    grey = plotting.stretch(np.vstack([noise, values]))[4000:].ravel().astype(int)
    assert (np.diff(grey) >= 0).all()
    assert (grey[0], grey[-1]) == (0, 255)


def test_stretch_is_free_of_scale_and_zero():
    data = np.random.default_rng(0).normal(0, 1, (50, 61))
    first = plotting.stretch(data).astype(int)
    second = plotting.stretch(200 + 35 * data).astype(int)
    assert np.abs(first - second).max() <= 1


def test_a_monstrous_pixel_is_white() -> None:
    data = np.random.default_rng(3).normal(size=(128, 120)).astype(np.float32)
    data[5, 7] = 1e37
    assert plotting.stretch(data)[5, 7] == 255


def test_a_cutout_has_y_upwards():
    difference = np.random.default_rng(0).normal(0, 1, (64, 64))
    difference[5, 50] = 500.0
    picture = plotting.cutout_picture(difference, np.zeros((64, 64), bool))
    assert picture[63 - 5, 50, 0] > 250


def test_a_cutouts_masked_pixels_are_tinted():
    mask = np.zeros((64, 64), bool)
    mask[10:20, 30:40] = True
    picture = plotting.cutout_picture(np.zeros((64, 64)), mask)
    assert (picture[::-1][mask] == MASK).all()
    assert not (picture[::-1][~mask] == MASK).all(axis=-1).any()


def test_enlarged_pixels_stay_blocks():
    difference = np.random.default_rng(0).normal(0, 1, (32, 32))
    small = plotting.cutout_picture(difference, np.zeros((32, 32), bool))
    large = plotting.cutout_picture(difference, np.zeros((32, 32), bool), panel_px=96)
    np.testing.assert_array_equal(large[1::3, 1::3], small)


def test_ends_are_marked_beyond_the_streak():
    ends = Segment(50.0, 64.0, 78.0, 64.0)
    args = np.zeros((128, 128)), np.zeros((128, 128), bool)
    plain = plotting.cutout_picture(*args, panel_px=256)
    marked = plotting.cutout_picture(*args, panel_px=256, ends=ends)
    x = np.nonzero((plain != marked).any(axis=(0, 2)))[0] / 2
    assert x.size > 0
    assert not ((x > 48) & (x < 80)).any()
    assert x.min() > 30
    assert x.max() < 98


def test_ends_in_a_cutout_match_what_extraction_cuts():
    segment = Segment(100.4, 90.2, 130.9, 105.7)
    frame = made_frame([segment], snr_flux=30000.0)
    streaks = made_streaks([segment])
    cut = extract_cutouts(frame, streaks)
    ends = plotting.cutout_segment(streaks[0], cut.size_px)
    x, y = (round(v) for v in (ends.x0, ends.y0))
    assert cut.difference[0][y, x] == np.float32(frame.data[round(segment.y0), round(segment.x0)])


def test_a_triplet_has_as_many_panels_as_there_are_images():
    _, _, cut = made_night()
    args = cut.difference[0], cut.mask[0]
    three = plotting.triplet_panel(cut.science[0], cut.reference[0], *args, panel_px=128)
    one = plotting.triplet_panel(None, None, *args, panel_px=128)
    assert three.shape == (128, 3 * 128 + 2 * 4, 3)
    assert one.shape == (128, 128, 3)


def test_a_subject_has_nothing_drawn_over_the_data():
    _, _, cut = made_night()
    alone = replace(cut, science=None, reference=None).select(np.array([0]))
    picture = plotting.decode_picture(plotting.subject_png(alone, 256))
    # Neutral grey but for masks and the panel's name in the lowest tenth.
    data = picture[:220]
    assert (data.max(axis=-1) - data.min(axis=-1)).max() == 0


def test_png_keeps_every_pixel():
    picture = np.random.default_rng(0).integers(0, 256, (31, 40, 3)).astype(np.uint8)
    np.testing.assert_array_equal(plotting.decode_picture(plotting.encode_png(picture)), picture)


def test_jpeg_is_smaller_than_png():
    picture = plotting.frame_overview(made_frame(SEGMENTS[:1]), empty_streaks(), max_px=400)
    assert len(plotting.encode_jpeg(picture)) < len(plotting.encode_png(picture)) / 2


@pytest.mark.parametrize("encoded", [b"", b"no picture"])
def test_bytes_that_are_no_picture_are_refused(encoded):
    with pytest.raises(FrameError, match="bytes are no PNG or JPEG picture; make it again"):
        plotting.decode_picture(encoded)


def test_shrinking_keeps_the_shape_and_never_grows():
    picture = np.zeros((300, 600, 3), np.uint8)
    assert plotting.shrink_picture(picture, 200).shape == (100, 200, 3)
    assert plotting.shrink_picture(picture, 900).shape == (300, 600, 3)


def test_a_missing_opencv_is_said_with_the_way_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(StreaksError, match="pip install opencv-python-headless"):
        plotting.encode_png(np.zeros((4, 4), np.uint8))


def test_every_class_has_a_colour_of_its_own():
    colours = [palette.class_rgb(name) for name in (*CLASSES, SKIP, "")]
    for first, second in itertools.combinations(colours, 2):
        assert np.abs(np.subtract(first, second)).sum() > 40


def test_dark_text_is_readable_on_every_class_colour():
    for name in (*CLASSES, SKIP):
        # Contrast of at least 4.5 with near-black (WCAG 2.1, 1.4.3).
        linear = [_linear(v / 255) for v in palette.class_rgb(name)]
        luminance = float(np.dot(linear, (0.2126, 0.7152, 0.0722)))
        assert (luminance + 0.05) / (0.008 + 0.05) > 4.5


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4


def test_shrinking_by_whole_pixels_is_the_mean_of_blocks():
    data = np.random.default_rng(2).normal(5, 3, (60, 91)).astype(np.float32)
    total, weight = shrink_by_area(data, np.zeros(data.shape, bool), (20, 13))
    blocks = data.reshape(20, 3, 13, 7).mean(axis=(1, 3))
    np.testing.assert_allclose(total, blocks, rtol=1e-5)
    np.testing.assert_allclose(weight, 1.0, rtol=1e-6)


def test_shrinking_by_parts_of_pixels_keeps_the_sum():
    data = np.random.default_rng(2).normal(5, 3, (61, 92)).astype(np.float32)
    total, _ = shrink_by_area(data, np.zeros(data.shape, bool), (17, 30))
    assert total.mean() == pytest.approx(data.mean(), rel=1e-5)


def test_shrinking_leaves_out_what_is_masked_or_not_finite():
    data = np.ones((4, 6), ">f4")
    data[0, 0], data[0, 5] = np.nan, np.inf
    mask = np.zeros(data.shape, bool)
    mask[2:, 2:4] = True
    total, weight = shrink_by_area(data, mask, (2, 3))
    np.testing.assert_allclose(weight, [[0.75, 1, 0.75], [1, 0, 1]])
    np.testing.assert_allclose(total, weight)
