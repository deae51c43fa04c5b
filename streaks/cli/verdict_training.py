"""``streaks train verdict``: what weighs all evidence, trained on whole frames."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streaks.cli.searching import Quiet, worker_count

if TYPE_CHECKING:
    import numpy as np
    from astropy.table import QTable
    from numpy.typing import NDArray

    from streaks.models.verdict_training import VerdictExamples
    from streaks.synth.nights.frames import NightConfig

__all__ = ["examples_of_night", "simulated_night", "train_verdict_command"]

#: Frames of a simulated night: three visits of a field, two of another, one of a third.
_FRAMES = 6
#: Seeds of nights of the second kind follow so far behind those of the first.
_SEEDS_APART = 1000

_LIMITS = [
    "Trained on simulated frames of one survey's size, pixels and cadence; train your own with "
    "`streaks train verdict NIGHTS... --truth ...` where yours differs.",
    "Satellites that show one short dash and nothing else look like asteroids in one exposure.",
]


def train_verdict_command(
    nights: Annotated[
        list[Path] | None,
        typer.Argument(help="Nights (`streaks night -o`) whose truth is known; see --truth."),
    ] = None,
    truth: Annotated[
        list[Path] | None,
        typer.Option(
            help="Table of the true streaks of each night, in the same order, as `streaks synth` "
            "writes it; or `none` for a night in which nothing is real (negated, shuffled)."
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Table of people's labels by streak_id (`streaks labels import`, `streaks vet`): "
            "they go before the truth."
        ),
    ] = None,
    synthetic: Annotated[
        int, typer.Option(min=0, help="Simulated nights of each kind: ordinary, and crowded.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of simulated nights and of training.")] = 1,
    work: Annotated[
        Path | None,
        typer.Option(help="Folder for simulated nights; what is there is used again."),
    ] = None,
    keep_images: Annotated[
        bool, typer.Option("--keep-images", help="Do not delete simulated images once searched.")
    ] = False,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the verdict and its card.")
    ] = Path("verdict"),
    workers: Annotated[int, typer.Option(help="Processes; 0 for one a core.", min=0)] = 0,
    quiet: Quiet = False,
) -> None:
    """Train what weighs all evidence of a streak, on what the finder returns from whole frames.

    A frame's streaks are true where they lie on a true asteroid's line; everything else that was
    found there, satellites too, is false.
    """
    from streaks.errors import ConfigError
    from streaks.models.verdict_store import save_verdict
    from streaks.models.verdict_training import stack_examples, train_verdict

    nights, truths = list(nights or []), list(truth or [])
    if len(nights) != len(truths):
        raise ConfigError(
            f"{len(nights)} nights and {len(truths)} --truth; give one for each night, in order"
        )
    if not nights and not synthetic:
        raise ConfigError("nothing to train on; name nights with --truth, or give --synthetic N")
    if synthetic and work is None:
        raise ConfigError("--synthetic needs a folder for its nights; give --work DIR")
    if work is not None:
        more = _simulated(work, synthetic, seed, worker_count(workers), keep_images, quiet)
        nights += [night for night, _ in more]
        truths += [table for _, table in more]
    told = _read_labels(labels)
    parts = [
        examples_of_night(night, _read_truth(table), told)
        for night, table in zip(nights, truths, strict=True)
    ]
    model, figures = train_verdict(stack_examples(parts), seed=seed)
    about = {
        "recipe": _recipe(len(nights) if not synthetic else 0, synthetic, seed),
        "training": {"nights": len(nights), "simulated": 2 * synthetic, "seed": seed},
        "figures": figures,
        "limits": _LIMITS,
    }
    save_verdict(model, output, name=output.name, about=about)
    if not quiet:
        typer.echo(
            f"{figures['asteroids']} asteroids and {figures['others']} others of "
            f"{figures['fields']} fields; on fields kept back: {figures['unseen_fields']}"
        )
        typer.echo(f"written to {output}")


def examples_of_night(
    night: Path, truth: QTable | None, labels: dict[str, str] | None = None
) -> VerdictExamples:
    """The streaks of a night with what they truly are.

    Parameters
    ----------
    night
        Its folder.
    truth
        True streaks by image: ends, ``label``, ``snr``, ``length``; None where nothing is real.
    labels
        What people said, by ``streak_id``; goes before the truth.

    Returns
    -------
    VerdictExamples
        Without streaks that nobody can say of what they are, and those without evidence.
    """
    import numpy as np

    from streaks.models.verdict_training import VerdictExamples
    from streaks.night_folder import NightFolder
    from streaks.night_folder.tables import searched_streaks
    from streaks.search.judging import states_elsewhere
    from streaks.verdict.numbers import numbers_of

    streaks, abouts = searched_streaks(NightFolder(night))
    kind = _kinds(streaks, abouts, truth)
    for row, name in enumerate(streaks["streak_id"]):
        if labels and str(name) in labels:
            kind[row] = labels[str(name)] == "asteroid"
    numbers = numbers_of(streaks)
    told = (kind >= 0) & np.isfinite(numbers[:, -1]) if len(streaks) else np.zeros(0, bool)
    fields = [_field(night, str(i), abouts.get(str(i), {})) for i in streaks["image"]]
    return VerdictExamples(
        numbers[told],
        kind[told] == 1,
        states_elsewhere(streaks, abouts)[told],
        np.array(fields, dtype=str)[told] if fields else np.zeros(0, "U1"),
    )


def _kinds(streaks: QTable, abouts: dict[str, Any], truth: QTable | None) -> NDArray[np.int64]:
    """1 for asteroids that can be told from points, 0 for what is none, -1 for what is neither."""
    import numpy as np

    from streaks.completeness import true_and_false

    if truth is None or not len(truth) or not len(streaks):
        return np.zeros(len(streaks), np.int64)
    asteroids = truth[np.asarray(truth["label"]).astype(str) == "asteroid"]
    fwhm = np.array([_number(abouts.get(str(i), {}), "fwhm_px") for i in asteroids["image"]])
    return true_and_false(streaks, asteroids, fwhm)[0]


def _number(about: dict[str, Any], name: str) -> float:
    value = about.get(name)
    return float(value) if isinstance(value, int | float) else math.nan


def _field(night: Path, image: str, about: dict[str, Any]) -> str:
    """What tells one field of the sky from another: of images without a number, their place."""
    told = about.get("field") or str(about.get("corners", ""))[:8] or image
    return f"{night.parent.name}/{night.name}/{told}"


def _read_truth(path: Path) -> QTable | None:
    from streaks.readers import read_table

    return None if str(path) == "none" else read_table(path)


def _read_labels(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    from streaks.errors import ReadError
    from streaks.readers import read_table

    table = read_table(path)
    name = next((n for n in ("streak_id", "name") if n in table.colnames), "")
    if not name or "label" not in table.colnames:
        raise ReadError(f"{path} has no streak_id and label: {', '.join(table.colnames)}")
    return {str(i): str(label) for i, label in zip(table[name], table["label"], strict=True)}


def _recipe(n_nights: int, synthetic: int, seed: int) -> str:
    given = f"{n_nights} nights with truth" if n_nights else f"--synthetic {synthetic}"
    return f"streaks train verdict {given} --seed {seed} --work DIR -o DIR"


def _simulated(
    work: Path, n: int, seed: int, workers: int, keep_images: bool, quiet: bool
) -> list[tuple[Path, Path]]:
    """Folders of simulated nights that were searched, each with its truth."""
    found = []
    for k in range(n):
        for kind, first in (("plain", seed), ("rich", seed + _SEEDS_APART)):
            night = simulated_night(
                work / kind,
                first + k,
                frames=_FRAMES,
                config=_config(kind),
                workers=workers,
                keep_images=keep_images,
            )
            found.append((night, night / "truth.ecsv"))
            if not quiet:
                typer.echo(f"{kind} {first + k}")
    return found


def _config(kind: str) -> NightConfig:
    """An ordinary sky with trails of all lengths, and one crowded with what looks like them."""
    from streaks.synth.nights.frames import NightConfig

    if kind == "plain":
        return NightConfig(
            asteroids=(3, 8), asteroid_length_px=(4.0, 80.0), asteroid_snr=(7.0, 60.0)
        )
    return NightConfig(
        asteroids=(5, 10),
        asteroid_length_px=(3.0, 140.0),
        asteroid_snr=(7.0, 120.0),
        satellites=2.5,
        ghosts=1.5,
        masked_stars=18.0,
    )


def simulated_night(
    folder: Path,
    seed: int,
    *,
    frames: int,
    config: NightConfig | None = None,
    workers: int = 1,
    keep_images: bool = False,
) -> Path:
    """A simulated night that was searched; one that is there already is used again.

    Parameters
    ----------
    folder
        In which its images and its results have folders named by the seed.
    seed, frames, config, workers
        As of `streaks.synth.nights.making.make_night`.
    keep_images
        Leave them there once they are searched.

    Returns
    -------
    Path
        Of the night, with ``truth.ecsv`` and ``clutter.ecsv`` in it.
    """
    from streaks.cli.searching import build_search
    from streaks.night import run_night
    from streaks.synth.nights.making import make_night

    images, night = folder / str(seed), folder / f"{seed}-night"
    truth = night / "truth.ecsv"
    if truth.is_file():
        return night
    if not (images / truth.name).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        make_night(images, frames=frames, seed=seed, config=config, workers=workers)
    run_night(images, night, build_search(verdict="none"), workers=workers)
    shutil.copyfile(images / "clutter.ecsv", night / "clutter.ecsv")
    # Last: a night with its truth is whole.
    shutil.copyfile(images / truth.name, truth)
    if not keep_images:
        shutil.rmtree(images)
    return night
