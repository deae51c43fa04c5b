"""``streaks demo``: a small night is made, searched, and shown beside its truth."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streaks.cli import searching as options
from streaks.cli.first_run import compile_once
from streaks.cli.progress import progress_shown
from streaks.cli.searching import build_search, worker_count

if TYPE_CHECKING:
    from astropy.table import QTable

    from streaks.night import NightRun

__all__ = ["demo"]

#: Written into the folder that a demo makes, so that a second demo may clear it away.
_MARK = ".streaks-demo"


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the night and its report.")
    ] = Path("demo-night"),
    frames: Annotated[int, typer.Option(help="Frames to make.", min=1)] = 6,
    size: Annotated[int, typer.Option(help="Side of a frame, px.", min=256)] = 1536,
    seed: Annotated[int, typer.Option(help="Seed of the simulated sky.", min=0)] = 2018,
    workers: Annotated[int, typer.Option(help="Processes; 0 for one a core.", min=0)] = 0,
    model: options.Model = "default",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only the report's path.")] = False,
) -> int:
    """Make a small night, run the night on it, print a summary and the report's path.

    The sky is simulated: the frames, their truth and the orbits of half of the asteroids go to
    OUTPUT/sky, what is found to OUTPUT/night.
    """
    from streaks.night import read_night, run_night, write_night_report
    from streaks.readers import read_table
    from streaks.synth import make_night

    _clear(output)
    sky, night = output / "sky", output / "night"
    _tell(f"making {frames} frames of {size} x {size} px (seed {seed})", quiet)
    make_night(sky, frames=frames, seed=seed, shape=(size, size), workers=worker_count(workers))
    compile_once(quiet)
    _tell("searching them", quiet)
    with progress_shown(quiet) as tell:
        run = run_night(
            sky,
            night,
            build_search(model=model, orbits=sky / "orbits.dat"),
            workers=worker_count(workers),
            progress=tell,
        )
    truth = read_table(sky / "truth.ecsv")
    finished = read_night(night)
    page = write_night_report(finished, truth=truth, seconds=run.seconds, command="streaks demo")
    if not quiet:
        _summary(run, finished.streaks, truth)
    print(f"report: {page}")
    return 1 if run.failures else 0


def _clear(output: Path) -> None:
    """Make way for a new demo; anything but an earlier demo is left alone.

    Raises
    ------
    ConfigError
        If the folder holds something else.
    """
    from streaks.errors import ConfigError

    if output.exists() and not (output / _MARK).exists():
        if not output.is_dir() or any(output.iterdir()):
            raise ConfigError(f"{output} exists and is not an earlier demo's; give another with -o")
    elif output.exists():
        shutil.rmtree(output)
    output.mkdir(parents=True, exist_ok=True)
    (output / _MARK).write_text("Made by `streaks demo`; a new demo here replaces it.\n")


def _tell(text: str, quiet: bool) -> None:
    if not quiet:
        print(text)


def _summary(run: NightRun, streaks: QTable, truth: QTable) -> None:
    """What was put in beside what was found."""
    import numpy as np

    from streaks.completeness import completeness_by_snr, match_truth
    from streaks.verdict import candidates_in_words

    found = match_truth(streaks, truth)
    hit = found >= 0
    print(f"{run.n_done} frames in {run.seconds:.1f} s; {len(streaks)} streaks reported")
    for label in sorted(set(truth["label"])):
        of_label = np.asarray(truth["label"]) == label
        line = f"{label}: {int((of_label & hit).sum())} of {int(of_label.sum())} found"
        if "label" in streaks.colnames:
            named = np.asarray(streaks["label"])[found[of_label & hit]] == label
            line += f", {int(named.sum())} of these named so"
        print(line)
    for row in completeness_by_snr(np.asarray(truth["snr"]), hit):
        print(f"  S/N {row['snr_low']:g} to {row['snr_high']:g}: {row['found']} of {row['n']}")
    if "p_real" in streaks.colnames:
        candidate = np.asarray(streaks["p_real"], float) >= streaks.meta["verdict"]["min_p_real"]
        true = np.unique(found[hit & (np.asarray(truth["label"]) == "asteroid")])
        print(
            f"{candidates_in_words(run.n_candidates, run.expected_false, run.n_done)}; "
            f"true asteroids among them: {int(candidate[true].sum())}"
        )
    others = len(streaks) - len(np.unique(found[hit]))
    known = int((np.asarray(streaks["ssnamenr"]) != "null").sum())
    print(f"reported without being in the truth: {others}; matched to known orbits: {known}")
