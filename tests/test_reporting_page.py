"""The night's page."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from astropy.table import QTable, vstack

from streaks.completeness import match_truth
from streaks.errors import InputError
from streaks.plotting import encode_jpeg, encode_png
from streaks.reporting import NightSummary, PagePictures, select_rows, write_report
from streaks.reporting.page import short_names
from streaks.reporting.rows import sexagesimal
from streaks.tables import StreakFlag, empty_streaks
from tests.made_streaks import SEGMENTS, made_streaks

PICTURE = encode_png(np.full((8, 8), 90, np.uint8))
EVIL = "<script>alert('x')</script>&\"'"
CHECKED = NightSummary(title="made", orbits="22,304 orbits", classifier="forest")


class Page(HTMLParser):
    """Tags, texts and addresses of a page."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.text += data

    def attributes(self, name: str) -> list[str]:
        return [attrs[name] or "" for _, attrs in self.tags if name in attrs]

    def words(self) -> str:
        return re.sub(r"\s+", " ", self.text)


def frames_of(*images: str, failed: dict[str, str] | None = None) -> QTable:
    failed = failed or {}
    names = [*images, *failed]
    return QTable(
        {
            "image": names,
            "state": ["done"] * len(images) + ["failed"] * len(failed),
            "reason": [""] * len(images) + list(failed.values()),
            "seconds": [1.5] * len(names),
        }
    )


@pytest.fixture
def page(tmp_path):
    def make(streaks, frames=None, summary=CHECKED, **options) -> Page:
        frames = frames_of("made_frame") if frames is None else frames
        write_report(tmp_path / "report.html", summary, streaks, frames, **options)
        return Page((tmp_path / "report.html").read_text(encoding="utf-8"))

    return make


def test_the_page_needs_nothing_beside_it(page):
    made = page(made_streaks(SEGMENTS), pictures=PagePictures(cutouts=_every(PICTURE)))
    addresses = made.attributes("src") + made.attributes("href")
    assert addresses
    assert all(address.startswith(("data:image/", "#")) for address in addresses if address)
    policies = [a["content"] for t, a in made.tags if t == "meta" and "http-equiv" in a]
    assert policies[0].startswith("default-src 'none'; img-src data:")


def test_names_from_headers_are_text_never_markup(page):
    streaks = made_streaks(SEGMENTS, image=EVIL)
    streaks["ssnamenr"] = [EVIL] * len(streaks)
    made = page(
        streaks,
        frames_of(EVIL, failed={EVIL + "2": f"cannot read {EVIL}"}),
        NightSummary(title=EVIL, command=EVIL, settings={EVIL: EVIL}, versions={EVIL: EVIL}),
        pictures=PagePictures(overviews={EVIL: PICTURE}),
        truth=streaks,
        found=np.arange(len(streaks)) - 1,
    )
    assert len([tag for tag, _ in made.tags if tag == "script"]) == 1
    assert not any(name.startswith("on") for _, attrs in made.tags for name in attrs)
    assert f"{EVIL}-0001" in made.text
    assert f"cannot read {EVIL}" in made.text


def test_candidates_that_nothing_explains_come_before_known_ones(page):
    streaks = made_streaks(SEGMENTS[:3], ["asteroid", "satellite", "asteroid"])
    streaks["ssdistnr"].value[:] = [-999.0, -999.0, 0.0]
    made = page(streaks)
    cards = [a["id"] for t, a in made.tags if t == "article"]
    assert cards == ["c-made_frame-0001", "c-made_frame-0003"]
    words = made.words()
    assert "1 asteroid candidate that no known object explains" in words
    assert words.index("none within the match radius") < words.index("0.0″ away")


def test_a_distance_of_zero_is_a_known_object(page):
    streaks = made_streaks(SEGMENTS[:1], ["asteroid"])
    assert streaks["ssdistnr"][0].value == 0.0
    assert "(24421) Djorgovski, 0.0″ away, V 18.2 predicted" in page(streaks).words()


def test_unchecked_candidates_are_not_called_unknown(page):
    made = page(made_streaks(SEGMENTS[:1], ["asteroid"])[["streak_id", "image", "label"]],
                summary=NightSummary(title="made"))  # fmt: skip
    words = made.words()
    assert "not checked against known objects" in words
    assert "no known object explains" not in words


def test_failed_frames_are_named_with_their_reason(page):
    made = page(empty_streaks(), frames_of("a", failed={"b": "truncated: 10 of 20 bytes"}))
    assert "1 frame could not be searched b: truncated: 10 of 20 bytes" in made.words()


def test_a_night_without_streaks_is_a_page(page):
    words = page(empty_streaks()).words()
    assert "0 streaks of every class" in words
    assert "No streaks." in words


def test_a_night_of_failures_only_is_a_page(page):
    words = page(empty_streaks(), frames_of(failed={"b": "empty"})).words()
    assert "0 frames searched" in words


def test_streaks_without_classes_make_a_page(page):
    streaks = made_streaks(SEGMENTS)
    streaks.keep_columns(["streak_id", "image", "x0", "y0", "x1", "y1", "x", "y", "snr", "length"])
    words = page(streaks, summary=NightSummary(title="made")).words()
    assert "not classified 8" in words
    assert words.count("made_frame-0003") >= 1


def test_probabilities_add_up_to_one_with_skip(page):
    made = page(made_streaks(SEGMENTS[:1], ["asteroid"]))
    widths = [float(s[6:].split("%")[0]) for s in made.attributes("style") if "width:" in s[:6]]
    assert sum(widths) == pytest.approx(100.0, abs=1.5)


def test_measured_values_are_shown_with_their_errors(page):
    words = page(made_streaks(SEGMENTS[:1], ["asteroid"])).words()
    for text in ("1.129″/s = 27.10°/day", "along PA 116.6° or 296.6°", "± 0.10 mag",
                 "10 00 33.48 +11 54 54.4", "2018-04-12T07:31:22.500"):  # fmt: skip
        assert text in words


def test_a_cut_trail_is_a_lower_limit(page):
    streaks = made_streaks(SEGMENTS[:1], ["asteroid"])
    streaks["flags"] = [int(StreakFlag.EDGE_1)]
    assert "≥ 33.5 px" in page(streaks).words()


def test_pictures_are_put_in_and_missing_ones_are_said(page):
    jpeg = encode_jpeg(np.full((8, 8), 90, np.uint8))
    pictures = PagePictures(cutouts={"made_frame-0001": PICTURE}, overviews={"made_frame": jpeg})
    made = page(made_streaks(SEGMENTS[:2]), pictures=pictures)
    sources = made.attributes("src")
    assert sum(s.startswith("data:image/png;base64,") for s in sources) == 2  # card and row
    assert sum(s.startswith("data:image/jpeg;base64,") for s in sources) == 1
    assert "no picture" in made.words()


def test_only_pictures_on_the_page_are_asked_for(page):
    asked = []

    class Counting(dict):
        def get(self, name, default=None):
            asked.append(name)
            return PICTURE

    page(made_streaks(SEGMENTS), pictures=PagePictures(cutouts=Counting()), max_rows=3, max_cards=0)
    assert len(set(asked)) == 3


def test_caps_are_said_aloud(page):
    streaks = vstack([made_streaks(SEGMENTS, image=f"f{i}") for i in range(3)])
    made = page(streaks, frames_of("f0", "f1", "f2"), max_rows=10, max_cards=2)
    words = made.words()
    assert "14 of 24 are in the night's table only" in words
    assert "more candidates (of lower probability)" in words
    assert (
        len([a for t, a in made.tags if t == "tr" and (a.get("id") or "").startswith("s-")]) == 10
    )


def test_asteroids_go_first_when_not_all_fit():
    streaks = made_streaks(SEGMENTS)
    rows = select_rows(streaks, 4)
    assert sorted(rows[:2]) == [0, 7]
    assert streaks["score"][rows[2]] >= streaks["score"][rows[3]]


def test_found_streaks_stand_beside_the_truth(page):
    truth = made_streaks(SEGMENTS, ["asteroid"] * 6 + ["yin_yang"] * 2, image="made_frame")
    truth["streak_id"] = [f"t{i}" for i in range(8)]
    streaks = made_streaks(SEGMENTS)[1:]
    made = page(
        streaks,
        truth=truth,
        found=match_truth(streaks, truth),
        pictures=PagePictures(missed={"t0": PICTURE}),
    )
    words = made.words()
    assert "5 of 6 true streaks found" in words  # artifacts of the truth are counted out
    assert "Missed 1" in words
    assert "t1 made_frame-0002" in words
    assert "completeness" in words


def test_purity_and_misnamed_streaks_are_told_beside_the_truth(page):
    truth = made_streaks(SEGMENTS, ["asteroid"] * 6 + ["satellite"] * 2, image="made_frame")
    streaks = made_streaks(SEGMENTS, ["asteroid"] * 4 + ["ghost"] * 2 + ["asteroid"] * 2)
    streaks["p_real"] = [0.99, 0.98, 0.97, 0.2, 0.1, 0.1, 0.96, 0.1]
    streaks["reasons"] = ["moves 300 deg/day"] + [""] * 7
    streaks["group"] = [str(name) for name in streaks["streak_id"]]
    streaks["group"][5] = streaks["group"][4]
    made = page(streaks, truth=truth, found=match_truth(streaks, truth))
    words = made.words()
    # Four candidates, three of them true; a satellite among them.
    assert "4 candidates, 0.1 expected to be false" in words
    assert "Purity: what is called an asteroid and is one" in words
    assert "2 asteroid as ghost" in words
    assert "2 satellite as asteroid" in words
    assert "p(real) 0.990: moves 300 deg/day" in words
    assert "8 streaks are 7 things" in words
    assert "2 lines" in words


def test_a_list_has_a_line_where_false_ones_are_expected(page):
    streaks = made_streaks(SEGMENTS, ["asteroid"] * 8)
    streaks["p_real"] = [0.99, 0.9, 0.6, 0.55, 0.52, 0.1, 0.1, 0.1]
    made = page(streaks)
    words = made.words()
    assert words.count("Above this line 1 false candidate is expected.") == 1
    before, _, after = words.partition("Above this line")
    # 0.01, 0.11, 0.51, 0.96 and then 1.44: the fifth lies below.
    assert "p(real) 0.550" in before
    assert "p(real) 0.520" in after


def test_a_page_of_two_thousand_streaks_stays_small(tmp_path):
    path = tmp_path / "report.html"
    write_report(path, CHECKED, made_streaks(SEGMENTS * 250), frames_of("made_frame"))
    assert path.stat().st_size < 6_000_000
    assert path.read_text(encoding="utf-8").count('id="s-') == 2000


def test_a_page_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"cannot write .*report\.html"):
        write_report(tmp_path / "file" / "report.html", CHECKED, empty_streaks(), frames_of("a"))


@pytest.mark.parametrize(
    ("ra", "dec", "text"),
    [
        (0.0, 0.0, "00 00 00.00 +00 00 00.0"),
        (359.99999999, -0.00000001, "00 00 00.00 -00 00 00.0"),
        (150.25, -12.5, "10 01 00.00 -12 30 00.0"),
        (14.9999999, 89.9999999, "01 00 00.00 +90 00 00.0"),
    ],
)
def test_sexagesimal_never_shows_sixty_seconds(ra, dec, text):
    assert sexagesimal(ra, dec) == text


def test_sexagesimal_of_the_unknown_is_empty():
    assert sexagesimal(float("nan"), 3.0) == ""


def _every(picture: bytes) -> dict[str, bytes]:
    return {f"made_frame-{i + 1:04d}": picture for i in range(len(SEGMENTS))}


def test_streaks_of_one_tracklet_stand_together_under_its_motion(tmp_path):
    streaks = made_streaks(SEGMENTS[:3], ["asteroid"] * 3)
    streaks["ssdistnr"].value[:] = -999.0
    streaks["tracklet"] = ["TABCDEF0", "", "TABCDEF0"]
    row = {"tracklet": ["TABCDEF0"], "kind": ["motion"], "n": [2], "arc": [180.0]}
    row |= {"rate": [0.5], "rate_err": [0.001], "pa": [295.1], "pa_err": [0.2], "rms": [np.nan]}
    write_report(
        tmp_path / "page.html",
        NightSummary(title="night"),
        streaks,
        QTable({"image": ["made_frame"], "state": ["done"]}),
        tracklets=QTable(row),
    )
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "one object in 2 streaks over 3.0 min: 0.5000 ± 0.0010″/s" in html
    ids = [str(name) for name in streaks["streak_id"]]
    places = [html.index(f'id="c-{name}"') for name in ids]
    heading = html.index('id="t-TABCDEF0"')
    assert heading < min(places[0], places[2])
    assert not places[0] < places[1] < places[2]


def test_long_names_are_short_with_the_whole_on_hover(page):
    names = ["ztf_2018a_000700_zr_c01", "ztf_2018b_000700_zr_c02"]
    streaks = vstack([made_streaks(SEGMENTS[:1], ["asteroid"], image=name) for name in names])
    made = page(streaks, frames_of(*names))
    words = made.words()
    assert "2018a_c01-0001" in words
    assert "ztf_2018a_000700_zr_c01-0001" not in words.split("Run")[0]
    assert "ztf_2018a_000700_zr_c01-0001" in made.attributes("title")


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["a_1_x", "a_2_x"], ["1", "2"]),
        (["a_1", "b_1"], ["a", "b"]),
        (["a_1_x"], ["a_1_x"]),
        (["a_1", "a_1_2"], ["a_1", "a_1_2"]),
        (["same", "same"], ["same", "same"]),
    ],
)
def test_short_names_keep_frames_apart(names, short):
    found = short_names(names)
    assert [found[name] for name in names] == short
