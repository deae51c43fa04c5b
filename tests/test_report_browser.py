"""The night's page from disk, in a real browser: 10,000 streaks, paged, sorted, judged by key."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pytest
from astropy.table import QTable, vstack

pytest.importorskip("playwright", reason="playwright is not installed: pip install playwright")

from playwright.sync_api import expect, sync_playwright

from benchmarks.labels import NAMES, simulate
from streaks.cli import main
from streaks.plotting import encode_jpeg
from streaks.reporting import NightSummary, PagePictures, write_report
from streaks.tables import StreakFlag
from tests.campaigns import simulated_rows, write_export
from tests.made_streaks import SEGMENTS, made_streaks

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
if CHROMIUM is None:
    pytest.skip("no Chromium on this machine: apt-get install -y chromium", allow_module_level=True)

N_FRAMES = 125
HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script>'


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        # The sandbox does not work for root, as in containers; pages here are our own.
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


def serious(page):
    """What axe-core calls serious or critical."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe-core here")
    found = axe.Axe().run(page).response["violations"]
    return [
        (v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")
    ]


def _night(n_frames=N_FRAMES, copies=10):
    """Streaks and frames of a night over 16 chips; one frame failed."""
    names = [f"ztf_2018041200{i:04d}_000700_zr_c{i % 16 + 1:02d}_o_q1" for i in range(n_frames)]
    streaks = vstack([made_streaks(SEGMENTS * copies, image=name) for name in names])
    rng = np.random.default_rng(1)
    n = len(streaks)
    streaks["ra"].value[:] = (rng.uniform(-8, 12, n) + 360) % 360
    streaks["dec"].value[:] = rng.uniform(10, 40, n)
    streaks["ssdistnr"].value[:] = -999.0
    streaks["p_real"] = np.where(np.arange(n) < 30, 0.9, 0.001) * rng.uniform(0.9, 1, n)
    streaks["reasons"] = [""] * n
    streaks["group"] = [""] * n
    streaks["flags"] = [int(StreakFlag.EDGE_0 | StreakFlag.SPIKE)] * n
    frames = QTable(
        {
            "image": names,
            "state": ["done"] * (n_frames - 1) + ["failed"],
            "reason": [""] * (n_frames - 1) + ["cut short"],
            "time": [f"2018-04-12T{5 + i // 60:02d}:{i % 60:02d}:00" for i in range(n_frames)],
            "ccd": [str(i % 16 + 1) for i in range(n_frames)],
            "quadrant": ["1"] * n_frames,
            "nx": [3072] * n_frames,
            "ny": [3080] * n_frames,
            "fwhm_px": rng.uniform(1.8, 3.0, n_frames),
            "one_false_score": 10 ** rng.uniform(0, 1, n_frames),
            "n_negated": rng.integers(0, 5, n_frames),
        }
    )
    return streaks, frames


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """10,000 streaks, each with a picture as large as a cutout's."""
    path = tmp_path_factory.mktemp("large") / "report.html"
    streaks, frames = _night()
    noise = np.random.default_rng(2).integers(0, 255, (84, 84)).astype(np.uint8)
    small, wide = encode_jpeg(noise, quality=80), encode_jpeg(np.tile(noise, (5, 15)), quality=80)
    ids = [str(name) for name in streaks["streak_id"]]
    assert len(ids) == 10_000
    pictures = PagePictures(
        cutouts=dict.fromkeys(ids, small),
        panels=dict.fromkeys(ids, wide),
        overviews=dict.fromkeys([str(name) for name in frames["image"]], wide),
    )
    summary = NightSummary(title="large", classifier="made", orbits="22,304 orbits")
    write_report(path, summary, streaks, frames, pictures=pictures)
    return path


def _opened(browser, path, **view):
    page = browser.new_page(**view)
    page.said = []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.goto(path.as_uri())
    return page


def test_a_night_of_ten_thousand_streaks_stays_under_fifteen_megabytes(large):
    assert large.stat().st_size < 15_000_000
    html = large.read_text()
    # The candidates' pictures go first; what did not fit is said.
    assert html.index('class="zoom panel"') < html.index('id="streaks"')
    assert "pictures left out to keep the page small" in html


def test_all_rows_are_reached_by_pages_sorting_and_filters(browser, large):
    page = _opened(browser, large)
    rows = page.locator("#all tbody tr")
    expect(page.locator("#shown")).to_have_text("10000 shown")
    expect(page.locator("#page")).to_have_text("page 1 of 50")
    expect(rows).to_have_count(200)
    seen = set()
    for number in range(1, 51):
        expect(page.locator("#page")).to_have_text(f"page {number} of 50")
        seen |= set(page.evaluate("[...document.querySelectorAll('#all tbody tr')].map(r => r.id)"))
        if page.locator("#on").is_enabled():
            page.locator("#on").click()
    assert len(seen) == 10_000
    page.locator("#by-image").select_option("ztf_20180412000123_000700_zr_c12_o_q1")
    expect(page.locator("#shown")).to_have_text("80 shown")
    expect(page.locator("#pager")).to_be_hidden()
    page.locator("#by-image").select_option("")
    page.get_by_role("button", name="S/N", exact=True).click()
    page.wait_for_function("document.querySelector('th[aria-sort]')")
    cells = "[...document.querySelectorAll('#all tbody tr')].map(r => +r.cells[5].textContent)"
    values = page.evaluate(cells)
    assert values == sorted(values, reverse=True)
    assert page.said == []
    page.close()


def test_flags_are_told_in_words_also_in_rows_made_from_data(browser, large):
    page = _opened(browser, large)
    page.locator("#on").click()
    text = page.locator("#all tbody tr").first.inner_text()
    assert "leaves the image, along a star's spike or bleed" in text
    page.close()


def test_candidates_are_judged_by_key_undone_and_saved_to_a_file(browser, large, tmp_path):
    page = _opened(browser, large, accept_downloads=True)
    expect(page.locator("#save")).to_be_disabled()
    for key in "jj":
        page.keyboard.press(key)
    ids = page.evaluate("[...document.querySelectorAll('.card')].map(c => c.id.slice(2))")
    page.keyboard.press("k")
    for key in "148":
        page.keyboard.press(key)
    expect(page.locator("#judged")).to_have_text("3 judged, not saved yet")
    page.keyboard.press("u")
    expect(page.locator("#judged")).to_have_text("2 judged, not saved yet")
    page.keyboard.press("8")
    with page.expect_download() as told:
        page.keyboard.press("w")
    told.value.save_as(tmp_path / "verdicts.csv")
    assert told.value.suggested_filename == "verdicts.csv"
    expect(page.locator("#judged")).to_have_text("3 judged, saved")
    with (tmp_path / "verdicts.csv").open(newline="") as file:
        rows = [(row["name"], row["label"], row["verdict"]) for row in csv.DictReader(file)]
    assert rows == [
        (ids[0], "asteroid", "asteroid"),
        (ids[1], "ghost", "ghost"),
        (ids[2], "skip", "unresolved"),
    ]
    assert page.said == []
    page.close()


@pytest.mark.parametrize("width", [400, 1400])
def test_no_sideways_scrolling(browser, large, width):
    page = _opened(browser, large, viewport={"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser, large, scheme):
    # Its own script is not the page's: the page's policy would refuse it.
    page = _opened(browser, large, bypass_csp=True, color_scheme=scheme)
    assert serious(page) == []
    page.close()


@pytest.mark.parametrize("width", [400, 1100])
def test_a_campaigns_page_is_sound_at_any_width(browser, tmp_path, width):
    rows = simulated_rows(simulate(200, 5, seed=904, n_volunteers=30), NAMES)
    export = write_export(tmp_path / "export.csv", rows)
    assert main(["labels", "status", str(export), "-o", str(tmp_path / "c.html"), "-q"]) == 0
    view = {"width": width, "height": 900}
    page = _opened(browser, tmp_path / "c.html", viewport=view)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.said == []
    page.close()
    page = _opened(browser, tmp_path / "c.html", viewport=view, bypass_csp=True)
    assert serious(page) == []
    page.close()


def test_maps_and_trends_are_drawn(browser, large):
    page = _opened(browser, large)
    maps = page.locator("#maps")
    expect(maps.locator('svg[aria-label="sky map of the night\'s streaks"] .hit')).to_have_count(30)
    chips = maps.locator('svg[aria-label="where on each detector artifacts lie"]')
    expect(chips.locator(".chip")).to_have_count(16)
    titles = maps.locator(".trendname").all_inner_texts()
    assert any("seeing" in title for title in titles)
    assert any("one false streak" in title for title in titles)
    # The frame that failed is marked in each.
    assert maps.locator(".lost").count() == len(titles)
    page.close()


def test_hostile_names_stay_text_in_rows_made_from_data(browser, tmp_path):
    streaks, frames = _night(n_frames=30)
    streaks["ssnamenr"] = [HOSTILE] * len(streaks)
    streaks["ssdistnr"].value[:] = 1.0
    streaks["streak_id"] = [f"{name}{HOSTILE}" for name in streaks["streak_id"]]
    path = tmp_path / "report.html"
    write_report(path, NightSummary(title=HOSTILE, orbits="o"), streaks, frames)
    page = _opened(browser, path)
    page.on("dialog", lambda dialog: page.said.append(dialog.message))
    for _ in range(2):
        page.locator("#on").click()
    assert HOSTILE in page.locator("#all tbody tr").first.inner_text()
    assert page.locator('img[src="x"]').count() == 0
    assert page.said == []
    page.close()
