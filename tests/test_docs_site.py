"""The site's sources: pages made from the code, links, examples of settings.

`make docs` builds the site itself; these tests need no Sphinx.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import streaks
from streaks.config import Settings, settings_from_mapping
from streaks.frame import MaskPlane
from streaks.readers import load_profile
from streaks.reporting import ades_context
from streaks.tables import CLASSES, NIGHT_COLUMNS, STREAK_COLUMNS, StreakFlag

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
if not (DOCS / "conf.py").exists():
    pytest.skip("the documentation is not beside these tests", allow_module_level=True)

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s#]+)(?:#[^)]*)?\)")
_FENCE = re.compile(r"^\s*```.*?^\s*```", re.MULTILINE | re.DOTALL)
_TOML = re.compile(r"^ *```toml\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def made() -> ModuleType:
    """The extension that writes pages."""
    spec = importlib.util.spec_from_file_location("made_reference", DOCS / "_ext/made_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def tables_of(page: str, heading: str) -> str:
    """The part of a page below a heading."""
    return page.split(f"## {heading}\n")[1].split("\n## ")[0]


def test_every_command_has_its_options_on_the_page(made: ModuleType) -> None:
    page = made.commands_page()
    assert "`--part`" in tables_of(page, "streaks night")
    assert "| `--output`, `-o` | (needed) |" in tables_of(page, "streaks known check")
    # 0 is a default, not the lack of one.
    assert "| `--workers` | `0` |" in tables_of(page, "streaks demo")
    for name in ("sample", "labels import", "alerts filter", "train cnn", "synth inject"):
        assert f"\n## streaks {name}\n" in page


def test_every_setting_has_a_meaning_on_the_page(made: ModuleType) -> None:
    page = made.settings_page()
    for name, kind in made.sections(Settings, ""):
        rows = tables_of(page, f"[{name}]").splitlines()
        for one in dataclasses.fields(kind):
            if not dataclasses.is_dataclass(getattr(kind(), one.name)):
                (row,) = [line for line in rows if line.startswith(f"| `{one.name}` |")]
                assert row.split("|")[4].strip(), f"{name}.{one.name} has no comment in the code"


def test_every_column_and_flag_is_on_its_page(made: ModuleType) -> None:
    columns, flags = made.columns_page(), made.flags_page()
    for spec in (*STREAK_COLUMNS, *NIGHT_COLUMNS):
        assert f"| `{spec.name}` |" in columns
    for bit in (*StreakFlag, *MaskPlane):
        assert f"| {bit.value} | `{bit.name}` |" in flags


def test_the_api_has_what_rooms_make_public(made: ModuleType) -> None:
    page = made.api_page("readers", "Files in")
    assert ".. autofunction:: streaks.readers.read_frame" in page
    assert ".. autoclass:: streaks.readers.CutoutSet" in page


@pytest.mark.parametrize(
    "page",
    [
        *(path for path in sorted(DOCS.rglob("*.md")) if "_build" not in path.parts),
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    ],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_links_lead_to_files(page: Path) -> None:
    # Those pages are made by the build.
    made_later = {"commands.md", "settings.md", "columns.md", "flags.md"}
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    targets = [t for t in _LINK.findall(text) if not t.startswith(("http", "mailto"))]
    missing = [
        target
        for target in targets
        if not (page.parent / target).exists()
        and Path(target).name not in made_later
        and not target.startswith(("api/", "../api/"))
        and page.parent.name != "api"
    ]
    assert missing == []


def test_the_gallery_has_a_picture_of_every_class() -> None:
    text = (DOCS / "gallery.md").read_text(encoding="utf-8")
    for name in (*CLASSES, "unresolved", "skip"):
        assert f"images/class_{name}.png" in text


def blocks(page: Path) -> list[str]:
    """TOML examples of a page, without the indentation of lists."""
    found = _TOML.findall(page.read_text(encoding="utf-8"))
    return ["\n".join(line.removeprefix("   ") for line in text.splitlines()) for text in found]


def test_the_example_of_a_profile_is_one(tmp_path: Path) -> None:
    (text,) = blocks(DOCS / "howto" / "profile.md")
    (tmp_path / "my.toml").write_text(text)
    profile = load_profile(tmp_path / "my.toml")
    assert profile.groups("my_123_r_diff.fits") == {"stem": "my_123_r", "band": "r"}
    assert profile.is_beside("my_123_r_mask.fits")
    assert profile.observatory == "W84"


def test_the_example_of_an_observer_is_one() -> None:
    (text,) = blocks(DOCS / "howto" / "mpc.md")
    context = ades_context(tomllib.loads(text))
    assert context.observatory == "I41"
    assert context.telescope["aperture"] == "1.2"


def test_the_example_of_settings_is_one(made: ModuleType) -> None:
    (text,) = _TOML.findall(made.settings_page())
    assert settings_from_mapping(tomllib.loads(text)).detection.noise.box_px == 32


#: Places on the network that pages may name: those whose data or programs one needs.
_HOSTS = {"minorplanetcenter.net", "www.minorplanetcenter.net"}


def test_pages_name_no_place_on_the_network_that_need_not_exist() -> None:
    pages = [
        *DOCS.rglob("*.md"),
        *ROOT.glob("*.md"),
        ROOT / "pyproject.toml",
        ROOT / "CITATION.cff",
    ]
    found = {
        (page.name, host)
        for page in pages
        for host in re.findall(r"https?://([\w.-]+\w)", page.read_text(encoding="utf-8"))
    }
    assert {(page, host) for page, host in found if host not in _HOSTS} == set()


def test_the_citation_is_of_this_version() -> None:
    import yaml

    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert cited["version"] == streaks.__version__
    assert cited["license"] == project["license"]
    assert {"cff-version", "message", "title", "authors", "date-released"} <= set(cited)
    assert [author["name"] for author in cited["authors"]] == [
        author["name"] for author in project["authors"]
    ]
