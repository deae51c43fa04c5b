"""The page in a real browser: people judge by keyboard, servers die, nothing is lost."""

from __future__ import annotations

import http.server
import json
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("fastapi", reason="the extra `web` is not installed: no page to open")
pytest.importorskip("uvicorn", reason="the extra `web` is not installed: no page to open")
pytest.importorskip("playwright", reason="playwright is not installed: pip install playwright")

from playwright.sync_api import expect, sync_playwright

from streaks.cli import main
from streaks.night_folder import NightFolder, read_night
from streaks.readers import read_table
from streaks.vetting import open_journal, standing_of
from tests.made_nights import make_night

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
if CHROMIUM is None:
    pytest.skip("no Chromium on this machine: apt-get install -y chromium", allow_module_level=True)

SHOWN = 'body[data-shown]:not([data-shown=""])'
COMMAND = "from streaks.cli import main; main()"
HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script>'
LABELS = {
    "1": "asteroid", "2": "satellite", "3": "masked_star", "4": "ghost", "5": "cosmic_ray",
    "6": "naked_star", "7": "yin_yang", "8": "unresolved", "0": "skip",
}  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # The sandbox does not work for root, as in containers; pages here are our own.
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


class Server:
    """The command as a process that can be killed and started again at one port."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder, self.port, self.words = folder, "0", words
        self.start()

    def start(self) -> None:
        words = [sys.executable, "-c", COMMAND, "vet", str(self.folder), "--json"]
        self.run = subprocess.Popen(
            [*words, "--port", self.port, *self.words], stdout=subprocess.PIPE, text=True
        )
        assert self.run.stdout is not None
        self.address = json.loads(self.run.stdout.readline())["address"]
        self.port = self.address.split("/")[2].rsplit(":", 1)[1]

    def kill(self) -> None:
        self.run.kill()
        self.run.wait()

    def labels(self) -> dict[str, dict[str, str]]:
        with open_journal(NightFolder(self.folder).judgements) as journal:
            standing = standing_of(journal.after(), read_night(self.folder))
        return {person: dict(labels) for person, labels in standing.labels.items()}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(make_night(tmp_path / "night", n_frames=6, n_each=20))
    yield made
    made.kill()


class Person:
    """One person at one browser, whose complaints are kept."""

    def __init__(self, browser: Browser, server: Server, name: str, **window: Any) -> None:
        self.context = browser.new_context(**window)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", self._listen)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: dialog.accept())
        self.page.goto(server.address)
        self.page.fill("#person", name)
        self.page.keyboard.press("Enter")
        self.shown()

    def _listen(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def shown(self) -> str:
        """The candidate whose picture is on the screen."""
        self.page.wait_for_selector(SHOWN)
        return str(self.page.get_attribute("body", "data-shown"))

    def press(self, *keys: str) -> dict[str, str]:
        """Judge what is shown by each key; what was judged how."""
        said = {}
        for key in keys:
            said[self.shown()] = LABELS[key]
            self.page.keyboard.press(key)
        return said

    def saved(self) -> None:
        self.page.wait_for_selector('body[data-waiting="0"]')

    def close(self) -> None:
        self.context.close()


@pytest.fixture
def person(browser: Browser, server: Server) -> Iterator[Callable[..., Person]]:
    people: list[Person] = []

    def come(name: str, **window: Any) -> Person:
        people.append(Person(browser, server, name, **window))
        return people[-1]

    yield come
    for one in people:
        one.close()


def network_noise(complaint: str) -> bool:
    """What Chromium itself says of a server that was killed on purpose."""
    return "net::ERR_" in complaint


def test_fifty_candidates_are_judged_by_keyboard(
    server: Server, person: Callable[..., Person], tmp_path: Path
) -> None:
    vera = person("Vera")
    said = vera.press(*("123456780" * 6)[:50])
    vera.saved()
    assert len(said) == 50
    assert server.labels() == {"Vera": said}
    # In the order of the night.
    assert list(said)[:3] == ["ztf_night_c01_0000", "ztf_night_c01_0001", "ztf_night_c01_0002"]
    assert "50 of 120 judged, 70 left" in vera.page.inner_text("#progress")
    assert main(["vet", str(server.folder), "--export", str(tmp_path / "labels.csv"), "-q"]) == 0
    table = read_table(tmp_path / "labels.csv")
    verdicts = zip(table["name"], table["verdict"], strict=True)
    assert {str(name): str(verdict) for name, verdict in verdicts} == said
    assert vera.complaints == []


def test_undo_shows_what_was_judged_again(server: Server, person: Callable[..., Person]) -> None:
    vera = person("Vera")
    said = vera.press("1", "2", "3")
    third = list(said)[2]
    vera.shown()
    vera.page.keyboard.press("u")
    assert vera.shown() == third
    vera.page.keyboard.press("4")
    vera.saved()
    assert server.labels() == {"Vera": {**said, third: "ghost"}}
    for _ in range(5):
        vera.page.keyboard.press("u")
    vera.saved()
    assert server.labels() == {}
    assert "Nothing to undo" in vera.page.inner_text("#note")
    assert vera.complaints == []


def test_a_page_that_is_loaded_again_goes_on(server: Server, person: Callable[..., Person]) -> None:
    vera = person("Vera")
    said = vera.press("1", "2", "3")
    vera.saved()
    vera.page.reload()
    assert vera.shown() == "ztf_night_c01_0003"
    assert "3 of 120 judged" in vera.page.inner_text("#progress")
    vera.page.keyboard.press("u")  # what was judged before the page was loaded
    assert vera.shown() == list(said)[2]
    vera.saved()
    assert list(server.labels()["Vera"]) == list(said)[:2]
    assert vera.complaints == []


def test_a_filter_chooses_and_outlives_a_reload(
    server: Server, person: Callable[..., Person]
) -> None:
    vera = person("Vera")
    vera.page.keyboard.press("/")
    vera.page.select_option("#filters [name=label]", "ghost")
    vera.page.select_option("#filters [name=sort]", "-snr")
    vera.page.fill("#filters [name=x_max]", "300")
    # S/N grows with the row; every other one is a ghost; x = 100 + 50 k: k = 3 and 1 of a frame.
    assert vera.shown() == "ztf_night_c06_0003"
    expect(vera.page.locator("#progress")).to_contain_text("12 left of 12 that pass")
    vera.page.keyboard.press("Escape")
    vera.page.keyboard.press("Escape")
    said = vera.press("4", "4")
    assert list(said) == ["ztf_night_c06_0003", "ztf_night_c06_0001"]
    vera.saved()
    vera.page.reload()
    assert vera.shown() == "ztf_night_c05_0003"
    vera.page.keyboard.press("/")
    # Keys are letters while one types.
    vera.page.fill("#filters [name=snr_min]", "9999")
    expect(vera.page.locator("#nothing")).to_contain_text("No streak passes the filter")
    vera.page.click("#filters [type=reset]")
    assert vera.shown() == "ztf_night_c01_0000"
    assert server.labels()["Vera"] == said
    assert vera.complaints == []


def test_two_people_judge_at_once_and_do_not_see_each_others_labels(
    server: Server, person: Callable[..., Person], capsys: pytest.CaptureFixture[str]
) -> None:
    vera, jan = person("Vera"), person("Jan")
    told: dict[str, dict[str, str]] = {"Vera": {}, "Jan": {}}
    for i in range(12):
        told["Vera"] |= vera.press("14"[i % 2])
        told["Jan"] |= jan.press("1444"[i % 4])
    vera.saved()
    jan.saved()
    assert server.labels() == told
    assert main(["vet", str(server.folder), "--agreement", "--json"]) == 0
    pair = json.loads(capsys.readouterr().out)["agreement"]["pairs"][0]
    # Vera: 6 and 6. Jan: 3 and 9, same on 9 of 12; chance (6*3 + 6*9) / 144 = 0.5.
    assert (pair["n"], pair["same"], pair["cohen_kappa"]) == (12, 0.75, 0.5)
    vera.page.reload()
    vera.shown()
    vera.page.keyboard.press("/")
    vera.page.select_option("#filters [name=hide]", "nobody")
    expect(vera.page.locator("#chips")).to_contain_text("judged by 1 other")
    assert vera.complaints + jan.complaints == []


def test_hiding_what_anyone_judged_shares_the_work(person: Callable[..., Person]) -> None:
    vera = person("Vera")
    vera.press("1", "1", "1")
    vera.saved()
    jan = person("Jan")
    assert jan.shown() == "ztf_night_c01_0000"
    jan.page.keyboard.press("/")
    jan.page.select_option("#filters [name=hide]", "anyone")
    jan.page.wait_for_selector('body[data-shown="ztf_night_c01_0003"]')
    assert vera.complaints + jan.complaints == []


def test_a_server_that_is_killed_and_started_again_loses_no_key(
    server: Server, person: Callable[..., Person]
) -> None:
    vera = person("Vera")
    said = vera.press("1", "2", "3", "4")
    vera.page.wait_for_timeout(1000)  # the next pictures are there
    server.kill()
    said |= vera.press("5", "6", "7", "1", "2")
    expect(vera.page.locator("#saved")).to_contain_text("kept in this browser")
    expect(vera.page.locator("#saved")).to_contain_text("5 not saved yet")
    server.start()
    said |= vera.press("3", "4")
    vera.saved()
    assert server.labels() == {"Vera": said}
    assert len(said) == 11
    assert [text for text in vera.complaints if not network_noise(text)] == []


def test_what_was_not_sent_when_the_page_was_closed_is_sent_when_it_is_opened(
    server: Server, person: Callable[..., Person]
) -> None:
    vera = person("Vera")
    said = vera.press("1")
    vera.saved()
    vera.page.wait_for_timeout(1000)
    server.kill()
    said |= vera.press("2", "3")
    vera.page.close()
    server.start()
    vera.page = vera.context.new_page()
    vera.page.goto(server.address)
    assert vera.shown() == "ztf_night_c01_0003"
    vera.saved()
    assert server.labels() == {"Vera": said}


def test_a_hundred_keys_at_a_third_of_a_second_each_are_all_kept(
    server: Server, person: Callable[..., Person]
) -> None:
    """Pressed by the clock (a busy machine may be late); each must fall on what was shown."""
    vera = person("Vera")
    vera.page.wait_for_timeout(500)
    expected = {}
    start = time.monotonic()
    for i in range(100):
        time.sleep(max(0.0, start + 0.3 * i - time.monotonic()))
        expected |= vera.press(str(1 + i % 8))
    assert time.monotonic() - start > 29.6
    vera.saved()
    assert len(expected) == 100
    assert server.labels() == {"Vera": expected}
    assert vera.complaints == []


def test_a_key_that_is_held_down_counts_once(server: Server, person: Callable[..., Person]) -> None:
    vera = person("Vera")
    for _ in range(6):  # without a key-up between, the browser says that it repeats
        vera.page.keyboard.down("4")
    vera.page.keyboard.up("4")
    vera.saved()
    assert server.labels() == {"Vera": {"ztf_night_c01_0000": "ghost"}}


def test_a_key_before_its_picture_does_not_count_and_says_so(
    server: Server, person: Callable[..., Person]
) -> None:
    vera = person("Vera")
    vera.page.wait_for_timeout(500)
    held: list[Any] = []
    vera.page.route(re.compile(r"/api/picture/"), lambda route: held.append(route))
    vera.page.keyboard.press("s")  # another stretch: its picture does not come
    vera.page.keyboard.press("4")
    expect(vera.page.locator("#note")).to_contain_text("does not count")
    for route in held:
        route.continue_()
    vera.page.unroute(re.compile(r"/api/picture/"))
    vera.shown()
    vera.page.keyboard.press("5")
    vera.saved()
    assert server.labels() == {"Vera": {"ztf_night_c01_0000": "cosmic_ray"}}


def test_a_page_older_than_the_nights_last_run_judges_what_it_showed(
    browser: Browser, tmp_path: Path
) -> None:
    """The night is run again while keys wait: what was 0000 is called 0001 then."""
    folder = tmp_path / "night"
    server = Server(make_night(folder, n_frames=1, n_each=4))
    try:
        vera = Person(browser, server, "Vera")
        vera.page.wait_for_timeout(1000)
        server.kill()
        vera.press("4")  # at (100, 200), which waits in the browser
        journal = NightFolder(folder).judgements
        kept = tmp_path / journal.name
        shutil.move(journal, kept)
        shutil.rmtree(folder)
        x, y = [400.0, 100.0, 150.0, 200.0], [400.0, 200.0, 230.0, 260.0]
        ends = {name: [v + d for v in xy] for name, xy, d in
                (("x0", x, -6), ("x1", x, 6), ("y0", y, -3), ("y1", y, 3))}  # fmt: skip
        make_night(folder, n_frames=1, n_each=4, more={"x": x, "y": y, **ends})
        shutil.move(kept, journal)
        server.start()
        vera.saved()
        assert server.labels() == {"Vera": {"ztf_night_c01_0001": "ghost"}}
        vera.page.reload()
        assert vera.shown() == "ztf_night_c01_0000"
        said = vera.press("1", "2")
        assert list(said) == ["ztf_night_c01_0000", "ztf_night_c01_0002"]
        vera.close()
    finally:
        server.kill()


def test_without_a_picture_only_skip_counts(browser: Browser, tmp_path: Path) -> None:
    server = Server(make_night(tmp_path / "night", n_frames=1, cutouts=False))
    try:
        vera = Person(browser, server, "Vera")
        expect(vera.page.locator("#nothing")).to_contain_text("no picture")
        vera.page.keyboard.press("1")
        expect(vera.page.locator("#note")).to_contain_text("only 0 (skip) counts")
        said = vera.press("0")
        vera.saved()
        assert server.labels() == {"Vera": said}
        vera.close()
    finally:
        server.kill()


def test_space_passes_on_and_comes_back_at_the_end(
    server: Server, person: Callable[..., Person]
) -> None:
    vera = person("Vera")
    vera.page.keyboard.press("/")
    vera.page.fill("#filters [name=snr_max]", "12")  # rows 0 to 2
    vera.page.keyboard.press("Escape")
    vera.page.keyboard.press("Escape")
    assert vera.shown() == "ztf_night_c01_0000"
    vera.page.keyboard.press(" ")
    vera.page.wait_for_selector('body[data-shown="ztf_night_c01_0001"]')
    vera.page.keyboard.press("ArrowLeft")
    vera.page.wait_for_selector('body[data-shown="ztf_night_c01_0000"]')
    vera.page.keyboard.press(" ")
    said = vera.press("1", "2", "3")
    assert list(said) == ["ztf_night_c01_0001", "ztf_night_c01_0002", "ztf_night_c01_0000"]
    expect(vera.page.locator("#nothing")).to_contain_text("All of these are judged")
    vera.page.keyboard.press("4")
    vera.saved()
    assert server.labels() == {"Vera": said}


def test_another_person_sits_down_at_the_same_browser(
    server: Server, person: Callable[..., Person]
) -> None:
    vera = person("Vera")
    hers = vera.press("1", "2")
    vera.saved()
    vera.shown()
    vera.page.click("#person-button")
    vera.page.fill("#person", "Jan")
    vera.page.keyboard.press("Enter")
    vera.page.wait_for_selector('body[data-ready="Jan"][data-shown="ztf_night_c01_0000"]')
    his = vera.press("4")
    vera.saved()
    assert server.labels() == {"Vera": hers, "Jan": his}
    assert list(his) == ["ztf_night_c01_0000"]
    assert vera.complaints == []


def test_a_flag_and_a_comment_are_kept(
    server: Server, person: Callable[..., Person], tmp_path: Path
) -> None:
    vera = person("Vera")
    vera.page.keyboard.press("f")
    expect(vera.page.locator("#tools [data-key=f]")).to_have_attribute("aria-pressed", "true")
    vera.page.keyboard.press("c")
    vera.page.fill("#comment", HOSTILE)
    vera.page.keyboard.press("Enter")
    expect(vera.page.locator("#about")).to_contain_text(HOSTILE)
    vera.page.keyboard.press("c")
    expect(vera.page.locator("#comment")).to_be_focused()
    vera.page.keyboard.type("1u 2 never mind")
    vera.page.keyboard.press("Escape")  # what was typed is no judgement, and not kept
    vera.press("4")
    vera.saved()
    assert server.labels() == {"Vera": {"ztf_night_c01_0000": "ghost"}}
    assert main(["vet", str(server.folder), "--export", str(tmp_path / "l.csv"), "-q"]) == 0
    row = read_table(tmp_path / "l.csv")[0]
    assert (str(row["comment"]), int(row["n_bad_reference"])) == (HOSTILE, 1)
    assert vera.complaints == []


def test_hostile_text_stays_text(browser: Browser, tmp_path: Path) -> None:
    names = [f"{HOSTILE}{i}" for i in range(4)]
    more = {"sat_name": [HOSTILE] * 4, "ssnamenr": [HOSTILE] * 4, "ssdistnr": [1.0] * 4,
            "reasons": [HOSTILE] * 4, "tracklet": [HOSTILE] * 4}  # fmt: skip
    server = Server(make_night(tmp_path / "n<b>", n_frames=1, names=names, more=more))
    try:
        vera = Person(browser, server, HOSTILE[:60])
        opened: list[str] = []
        vera.page.on("dialog", lambda dialog: opened.append(dialog.message))
        assert vera.shown() == names[0]
        assert vera.page.inner_text("#name") == names[0]
        expect(vera.page.locator("#about")).to_contain_text(HOSTILE)
        expect(vera.page.locator("#person-button")).to_contain_text("<img")
        vera.press("1", "1")
        vera.saved()
        assert vera.page.locator("main img, main script, header img, header script").count() == 0
        assert (opened, vera.complaints) == ([], [])
        vera.close()
    finally:
        server.kill()


def test_zoom_stretch_and_blink_change_what_is_shown(person: Callable[..., Person]) -> None:
    vera = person("Vera")

    def pixels(name: str) -> str:
        return str(vera.page.locator(f"#{name} canvas").evaluate("canvas => canvas.toDataURL()"))

    before = pixels("science")
    vera.page.keyboard.press("z")
    assert vera.page.inner_text("#zoom") == "2×"
    assert pixels("science") != before
    vera.page.keyboard.press("z")
    vera.page.keyboard.press("z")
    assert pixels("science") == before
    vera.page.keyboard.press("s")
    vera.shown()
    assert vera.page.inner_text("#stretch") == "faint"
    assert pixels("science") != before
    vera.page.keyboard.press("s")
    vera.page.keyboard.press("s")
    vera.shown()
    reference = pixels("reference")
    vera.page.keyboard.press("b")
    expect(vera.page.locator("#science figcaption")).to_have_text("reference")
    assert pixels("science") == reference
    expect(vera.page.locator("#science figcaption")).to_have_text("science")
    vera.page.keyboard.press("b")
    expect(vera.page.locator("#tools [data-key=b]")).to_have_attribute("aria-pressed", "false")
    assert pixels("science") == before
    own = pixels("difference")
    vera.page.keyboard.press("v")
    expect(vera.page.locator("#difference figcaption")).to_have_text("difference, +3 min")
    assert pixels("difference") != own
    vera.page.keyboard.press("1")  # judging ends it
    assert vera.shown() == "ztf_night_c01_0001"
    expect(vera.page.locator("#difference figcaption")).to_have_text("difference")
    assert vera.complaints == []


def test_buttons_do_what_keys_do(server: Server, person: Callable[..., Person]) -> None:
    vera = person("Vera")
    vera.page.click("#verdicts [data-key='4']")
    assert vera.shown() == "ztf_night_c01_0001"
    vera.page.click("#tools [data-key=' ']")
    assert vera.shown() == "ztf_night_c01_0002"
    vera.press("1")
    vera.saved()
    assert server.labels() == {
        "Vera": {"ztf_night_c01_0000": "ghost", "ztf_night_c01_0002": "asteroid"}
    }


@pytest.mark.parametrize("width", [400, 800, 1440])
def test_the_page_fits_its_window(person: Callable[..., Person], width: int) -> None:
    vera = person("Vera", viewport={"width": width, "height": 800})
    vera.page.keyboard.press("/")
    assert vera.page.evaluate("document.documentElement.scrollWidth") <= width
    box = vera.page.locator("#difference canvas").bounding_box()
    assert box is not None
    assert box["width"] > 0.2 * width
    assert box["width"] == pytest.approx(box["height"], abs=1.0)


def test_links_lead_away_without_telling_from_where(person: Callable[..., Person]) -> None:
    vera = person("Vera")
    links = vera.page.locator("#links a")
    expect(links).to_have_count(3)
    for link in links.all():
        assert link.get_attribute("rel") == "noopener noreferrer"
        assert str(link.get_attribute("href")).startswith("https://")


def test_the_next_twenty_pictures_are_fetched_ahead_and_no_more(
    browser: Browser, server: Server
) -> None:
    context = browser.new_context()
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(server.address)
    page.fill("#person", "Vera")
    page.keyboard.press("Enter")
    page.wait_for_selector(SHOWN)
    page.wait_for_timeout(2500)
    rows = [url.split("/api/picture/")[1].split("?")[0] for url in asked if "/api/picture/" in url]
    context.close()
    assert rows == [str(row) for row in range(21)]


def test_nothing_is_asked_of_any_other_host(browser: Browser, server: Server) -> None:
    context = browser.new_context()
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(server.address)
    page.fill("#person", "Vera")
    page.keyboard.press("Enter")
    page.wait_for_selector(SHOWN)
    page.keyboard.press("v")
    page.wait_for_timeout(700)
    context.close()
    assert len(asked) > 8
    assert [url for url in asked if not url.startswith((server.address, "blob:"))] == []


def test_help_names_every_key(person: Callable[..., Person]) -> None:
    vera = person("Vera")
    vera.page.keyboard.press("?")
    text = vera.page.inner_text("#help")
    assert all(label.replace("_", " ") in text for label in LABELS.values())
    vera.page.keyboard.press("4")  # while help is open no key judges
    vera.page.keyboard.press("Escape")
    assert vera.shown() == "ztf_night_c01_0000"
    assert "0 of 120 judged" in vera.page.inner_text("#progress")


def test_a_token_opens_the_page_and_leaves_the_address(browser: Browser, tmp_path: Path) -> None:
    server = Server(make_night(tmp_path / "night"), "--host", "0.0.0.0")
    try:
        token = server.address.split("?token=")[1]
        own = f"http://127.0.0.1:{server.port}/"
        stranger = browser.new_page()
        told = stranger.goto(own)
        assert told is not None
        assert told.status == 401
        server.address = f"{own}?token={token}"
        vera = Person(browser, server, "Vera")
        assert vera.page.url == own
        said = vera.press("1", "4")
        vera.saved()
        assert server.labels() == {"Vera": said}
        assert vera.complaints == []
        vera.close()
        stranger.close()
    finally:
        server.kill()


class Stranger(http.server.BaseHTTPRequestHandler):
    """Another site, whose page tries what a page can."""

    target = ""

    def do_GET(self) -> None:
        body = PAGE_OF_A_STRANGER.replace("TARGET", self.target).encode()
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


PAGE_OF_A_STRANGER = """<!doctype html><title>stranger</title>
<img src="TARGETapi/picture/0"><script src="TARGETstatic/vet.js"></script>
<iframe src="TARGET" name="inner"></iframe>
<form action="TARGETapi/judgements" method="post" enctype="text/plain" target="inner">
<input name='{"judgements":[{"id":"abcdefgh","person":"evil","streak_id":"ztf_night_c01_0000",
"kind":"label","value":"ghost","made":"' value='"}]}'></form>
<script>
const body = JSON.stringify({judgements: [{id: "abcdefgi", person: "evil",
  streak_id: "ztf_night_c01_0000", kind: "label", value: "ghost", made: ""}]});
const tries = [
  fetch("TARGETapi/judgements", {method: "POST", mode: "no-cors", body}),
  fetch("TARGETapi/judgements",
    {method: "POST", body, headers: {"content-type": "application/json"}}),
  fetch("TARGETapi/night", {mode: "no-cors"}),
];
document.forms[0].submit();
Promise.allSettled(tries).then(() => setTimeout(() => { document.title = "tried"; }, 700));
</script>"""


def test_a_page_of_another_site_gets_nothing_and_leaves_nothing(
    browser: Browser, server: Server
) -> None:
    Stranger.target = server.address
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        page = browser.new_page()
        answers: list[tuple[str, int]] = []
        page.on("response", lambda told: answers.append((told.url, told.status)))
        page.goto(f"http://localhost:{site.server_port}/")
        expect(page).to_have_title("tried")
        page.close()
        site.shutdown()
    ours = {url: status for url, status in answers if url.startswith(server.address)}
    # What the browser itself holds back (its own rules for other sites) has no answer here.
    assert ours
    assert set(ours.values()) <= {403}
    assert server.labels() == {}
