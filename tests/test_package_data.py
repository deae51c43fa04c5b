"""Every file that the package brings is found and read where the package is installed.

`.ci/wheel-test` runs this outside the clone, without extras.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata, resources
from pathlib import Path

import numpy as np
import pytest

import streaks
from streaks.cli import main
from streaks.cutouts import Cutouts

#: Files that are not code, by their folder in the package; each has its reader below.
KNOWN = {
    "": {"py.typed"},
    "known": {"observatories.json"},
    "known/kernels": {"de440_2012_2035.bsp", "sb441-n16_2012_2035.bsp"},
    "labelling/texts": {"README.md", "question.json", "tutorial.md"},
    "models": {"evaluation.html"},
    "models/weights/cnn": {"card.json", "model.onnx"},
    "models/weights/default": {"card.json", "model.onnx"},
    "models/weights/forest": {"card.json", "model.onnx"},
    "models/weights/periods": {"periods.json", "trees.npz"},
    "models/weights/verdict": {"trees.npz", "verdict.json"},
    "readers/profiles": {"generic.toml", "rubin.toml", "rubin_stamp.toml", "ztf.toml"},
    "reporting/templates": {"campaign.html.jinja", "completeness.html.jinja", "report.html.jinja"},
    "synth/realism": {"realism.html"},
    "vetting/static": {"facts.js", "list.js", "pictures.js", "queue.js", "vet.css", "vet.js"},
    "vetting/templates": {"vet.html.jinja"},
}
ROOT = Path(streaks.__file__).parent


def test_no_file_is_unknown_to_these_tests_and_none_is_missing() -> None:
    found: dict[str, set[str]] = {}
    for path in ROOT.rglob("*"):
        inside = path.relative_to(ROOT)
        made = path.suffix in {".py", ".pyc"} or "__pycache__" in inside.parts
        if path.is_file() and not made and "sample_night" not in inside.parts:
            found.setdefault(inside.parent.as_posix().removeprefix("."), set()).add(path.name)
    assert found == KNOWN


@pytest.mark.parametrize("name", ["default", "forest", "cnn"])
def test_a_shipped_classifier_answers(name: str) -> None:
    from streaks.classification import predict
    from streaks.models import load_classifier

    noise = np.random.default_rng(0).normal(size=(2, 128, 128)).astype(np.float32)
    cutouts = Cutouts(noise, np.zeros(noise.shape, bool), ("a", "b"))
    p, _ = predict(load_classifier(name), cutouts)
    assert len(p) == 2
    assert np.isfinite(p).all()


def test_the_shipped_verdict_and_the_trust_in_periods_are_read() -> None:
    from streaks.models.period_store import load_reliability
    from streaks.models.verdict_store import load_verdict

    assert load_verdict() is not None
    assert load_reliability() is not None


def test_shipped_profiles_are_read() -> None:
    from streaks.readers.profile import builtin_profiles

    assert {f"{name}.toml" for name in builtin_profiles()} == KNOWN["readers/profiles"]


def test_shipped_observatories_and_kernels_are_read() -> None:
    from streaks.known.observatories import find_observatory
    from streaks.known.shipped import default_ephemeris

    assert "Palomar" in find_observatory("I41").name
    # The Earth is one astronomical unit from the Sun, within its orbit's eccentricity.
    sun, earth = (default_ephemeris().state(body, 2_459_000.5)[0] for body in ("sun", "earth"))
    assert np.linalg.norm(earth - sun) == pytest.approx(1.0, abs=0.02)


def test_a_campaigns_page_is_made_of_its_texts() -> None:
    from streaks.labelling.workflows import builder_page, workflow_of

    assert len(builder_page(workflow_of("kind"))) > 500


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("streaks.labelling", "texts/README.md"),
        ("streaks.labelling", "texts/tutorial.md"),
        ("streaks.models", "evaluation.html"),
        ("streaks.synth.realism", "realism.html"),
        ("streaks.vetting", "static/vet.js"),
        ("streaks.vetting", "static/vet.css"),
    ],
)
def test_a_text_is_not_empty(package: str, name: str) -> None:
    assert len((resources.files(package) / name).read_text("utf-8")) > 100


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("streaks.reporting", "report.html.jinja"),
        ("streaks.reporting", "campaign.html.jinja"),
        ("streaks.reporting", "completeness.html.jinja"),
        ("streaks.vetting", "vet.html.jinja"),
    ],
)
def test_a_template_is_found_as_its_page_finds_it(package: str, name: str) -> None:
    from jinja2 import Environment, PackageLoader

    text, _, _ = PackageLoader(package, "templates").get_source(Environment(), name)
    assert "<html" in text


def test_the_command_is_an_entry_point_and_knows_its_version(tmp_path: Path) -> None:
    (entry,) = (
        point for point in metadata.entry_points(group="console_scripts") if point.name == "streaks"
    )
    assert entry.load() is main
    run = [sys.executable, "-c", "import streaks.cli; streaks.cli.main()", "--version"]
    told = subprocess.run(run, capture_output=True, text=True, cwd=tmp_path)
    assert told.stdout.split() == ["streaks", streaks.__version__]


def test_a_command_line_searches_the_sample(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """From the entry point to a table: readers, kernels, weights and verdict together."""
    night, table = tmp_path / "night", tmp_path / "streaks.ecsv"
    assert main(["sample", "-o", str(night), "--quiet"]) == 0
    image = sorted(night.glob("*_scimrefdiffimg.fits.fz"))[0]
    capsys.readouterr()
    assert main(["detect", str(image), "-o", str(table), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["frames"][0]["streaks"] > 0
    assert table.exists()
