"""``streaks detect``: images in, one table of streaks out."""

from __future__ import annotations

import functools
import json
import logging
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streaks.cli import searching as options
from streaks.cli.account import print_accounts
from streaks.cli.allocator import keep_freed_memory
from streaks.cli.collector import collector_paused
from streaks.cli.first_run import compile_once
from streaks.cli.searching import build_search

if TYPE_CHECKING:
    from astropy.table import QTable

    from streaks.config import Settings
    from streaks.readers import FrameFiles
    from streaks.search import FrameResult, Search, Searcher
    from streaks.verdict import VerdictModel

__all__ = ["detect"]

_log = logging.getLogger(__name__)


def detect(
    images: Annotated[list[Path], typer.Argument(help="FITS images, or folders of them.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Table to write: .ecsv .csv .parquet .vot .fits .reg .psv .json .sqlite",
        ),
    ] = None,
    mask: Annotated[Path | None, typer.Option(help="Mask of the one image given.")] = None,
    science: Annotated[Path | None, typer.Option(help="Its science image.")] = None,
    reference: Annotated[Path | None, typer.Option(help="Its reference image.")] = None,
    psf_fwhm: options.PsfFwhm = None,
    threshold: options.Threshold = None,
    min_score: options.MinScore = None,
    detector: options.Detector = "",
    classify: Annotated[bool, typer.Option(help="Name the streaks by class.")] = True,
    model: options.Model = "default",
    mix: options.Mix = "",
    verdict: options.Verdict = "default",
    orbits: options.Orbits = None,
    ephemeris: options.Ephemeris = None,
    tle: options.Tle = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="PNG of the frame with its streaks; a folder for several images."),
    ] = None,
    profile: options.Profile = "",
    zero_point: options.ZeroPoint = None,
    gain: options.Gain = None,
    exposure: options.Exposure = None,
    time: Annotated[
        str | None, typer.Option(help="MID-exposure, UTC, as 2018-06-07T04:12:33.")
    ] = None,
    observatory: options.Observatory = None,
    hdu: options.Hdu = "",
    plane: options.Plane = "",
    dry_run: options.DryRun = False,
    config: options.Config = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> int:
    """Find the streaks of one image or a few: measured, named, and matched."""
    from streaks.errors import ConfigError

    if output is None and (as_json or quiet) and not dry_run:
        raise ConfigError("no table to write to, and nothing to say; give --output FILE")
    beside = {"mask": mask, "science": science, "reference": reference}
    with collector_paused() as resume_collector:
        _require_known_suffix(output)
        keep_freed_memory()
        search = build_search(
            config=config, threshold=threshold, min_score=min_score, detector=detector, mix=mix,
            model=model if classify else "none", verdict=verdict, profile=profile,
            orbits=orbits, ephemeris=ephemeris, tle=tle,
            fwhm_px=psf_fwhm, zero_point_mag=zero_point, gain=gain, exposure_s=exposure,
            time=time, observatory=observatory,
        )  # fmt: skip
        frames = _frames(images, beside, profile, hdu, plane)
        if dry_run:
            return print_accounts(frames, search.overrides, as_json=as_json)
        compile_once(quiet or as_json)
        return _search_all(
            search, frames, plot, output, resume_collector, as_json=as_json, quiet=quiet
        )


def _require_known_suffix(output: Path | None) -> None:
    from streaks.reporting import table_suffix

    if output is not None:
        table_suffix(output)


def _search_all(
    search: Search,
    frames: Sequence[FrameFiles],
    plot: Path | None,
    output: Path | None,
    loaded: Callable[[], None],
    *,
    as_json: bool,
    quiet: bool,
) -> int:
    """Search the images, write and say what is in them; `loaded` is called before the second."""
    from streaks.tables import counted

    searcher = search.prepare(ahead=True)
    judge = functools.partial(
        _judged,
        model=None if search.load_verdict is None else search.load_verdict(),
        settings=search.settings,
    )
    results: list[FrameResult] = []
    failures: list[tuple[str, str]] = []
    try:
        for number, files in enumerate(frames):
            if number == 1:
                loaded()
            _search(files, searcher, plot, results, failures, several=len(frames) > 1)
    except KeyboardInterrupt:
        kept = bool(results) and output is not None
        if results and output is not None:
            _write(results, output, judge)
        print(
            f"streaks: stopped after {len(results)} of {counted(len(frames), 'image')}; "
            + (f"what was found in them is in {output}" if kept else "nothing was written"),
            file=sys.stderr,
        )
        return 130
    if not results:
        _name_failures(failures)
        return 2
    table = judge(results) if output is None else _write(results, output, judge)
    told = _candidates(table, len(results), search.settings.verdict.min_p_real)
    _say(table, results, failures, output, told, as_json=as_json, quiet=quiet)
    _name_failures(failures)
    return 1 if failures else 0


def _judged(
    results: Sequence[FrameResult], *, model: VerdictModel | None, settings: Settings
) -> QTable:
    """All streaks in one table with their verdict; tracklets where there are several images."""
    from streaks.search.judging import judge_linked
    from streaks.tables import order_columns

    streaks = _stacked([result.streaks for result in results])
    abouts = {result.name: result.about for result in results}
    table, _ = judge_linked(streaks, abouts, model, settings)
    if len(results) == 1:
        table.remove_column("tracklet")
    return order_columns(table)


def _write(
    results: Sequence[FrameResult],
    output: Path,
    judge: Callable[[Sequence[FrameResult]], QTable],
) -> QTable:
    """All streaks in one table, as the suffix wants it."""
    import numpy as np

    from streaks.reporting import table_suffix, with_station, write_table

    table = judge(results)
    if table_suffix(output) == ".psv":
        # ADES says of each position where it was taken and in which band.
        images = np.asarray(table["image"]).astype(str)
        stations = [
            with_station(
                table[images == r.name], observatory=r.about["observatory"], band=r.about["band"]
            )
            for r in results
        ]
        write_table(_stacked(stations), output)
    else:
        write_table(table, output)
    return table


def _candidates(table: QTable, n_images: int, min_p_real: float) -> str:
    """One line on a run's candidates; empty where nothing was weighed."""
    from streaks.verdict import candidates_in_words, count_candidates

    return candidates_in_words(*count_candidates(table, min_p_real), n_images)


def _frames(
    images: Sequence[Path],
    beside: dict[str, Path | None],
    profile: str,
    hdu: str = "",
    plane: str = "",
) -> list[FrameFiles]:
    from streaks.errors import ConfigError
    from streaks.readers import find_frames

    frames = find_frames(images, profile=profile, hdu=hdu, plane=plane)
    given: dict[str, Any] = {what: path for what, path in beside.items() if path is not None}
    if given and len(frames) > 1:
        raise ConfigError(
            f"--{next(iter(given))} belongs to one image, {len(frames)} were given; "
            "give one image at a time, or a .csv list with such a column"
        )
    return [replace(files, **given) for files in frames]


def _search(
    files: FrameFiles,
    searcher: Searcher,
    plot: Path | None,
    results: list[FrameResult],
    failures: list[tuple[str, str]],
    *,
    several: bool,
) -> None:
    """Search one image; whatever it does, the others' results are kept and it is named."""
    from streaks.errors import ModelError, StreaksError

    try:
        result = searcher.search_files(files, draw=plot is not None)
        if plot is not None:
            _write_plot(result, plot / f"{result.name}.png" if several else plot)
    except ModelError:
        raise  # of the classifier, not of this image
    except StreaksError as error:
        failures.append((str(files.image), str(error)))
        return
    except Exception as error:
        _log.debug("%s", files.image, exc_info=True)
        text = " ".join(str(error).split())
        failures.append((str(files.image), f"unexpected {type(error).__name__}: {text}"))
        return
    results.append(result)


def _write_plot(result: FrameResult, path: Path) -> None:
    from streaks.disk import written_whole
    from streaks.plotting import encode_png

    assert result.overview is not None
    with written_whole(path) as beside:
        beside.write_bytes(encode_png(result.overview))


def _stacked(tables: Sequence[QTable]) -> QTable:
    from astropy.table import vstack

    # Tables of no rows have text columns too narrow to widen: those with rows decide.
    filled = [table for table in tables if len(table)]
    return vstack(filled, metadata_conflicts="silent") if filled else tables[0]


def _name_failures(failures: Sequence[tuple[str, str]]) -> None:
    for path, reason in failures:
        text = reason if path in reason else f"{path}: {reason}"
        print(f"failed: {text}", file=sys.stderr)


def _say(
    table: QTable,
    results: Sequence[FrameResult],
    failures: Sequence[tuple[str, str]],
    output: Path | None,
    candidates: str,
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    if as_json:
        frames = [
            {
                "image": r.name,
                "streaks": len(r.streaks),
                "seconds": round(sum(r.seconds.values()), 3),
            }
            for r in results
        ]
        failed = [{"path": path, "reason": reason} for path, reason in failures]
        print(json.dumps({"frames": frames, "failed": failed, "output": str(output)}))
        return
    if quiet:
        return
    from streaks.tables import counted

    for line in _lines(table, results):
        print(line)
    if candidates:
        print(candidates)
    where = output or "not kept; -o TABLE keeps them"
    print(f"{counted(len(table), 'streak')} in {counted(len(results), 'image')}: {where}")


def _lines(table: QTable, results: Sequence[FrameResult]) -> Iterator[str]:
    """A few words a streak, the best first, for the eye."""
    import numpy as np

    from streaks.tables import counted

    for result in results:
        n, seconds = len(result.streaks), sum(result.seconds.values())
        yield f"{result.name}: {counted(n, 'streak')}, {seconds:.2f} s"
        own = table[np.asarray(table["image"]).astype(str) == result.name]
        if "p_real" in own.colnames:
            surest = np.argsort(-np.nan_to_num(np.asarray(own["p_real"])), kind="stable")
            own = own[surest]
        for row in own[:10]:
            yield "  " + _line(row)
        if len(result.streaks) > 10:
            yield f"  and {len(result.streaks) - 10} more"
        if result.about.get("set_aside"):
            yield f"  lines set aside: {result.about['set_aside']}"


def _line(row: Any) -> str:
    x0, y0, x1, y1 = (row[name].value for name in ("x0", "y0", "x1", "y1"))
    # The number that the picture shows beside it, which is also the end of its streak_id.
    number = int(str(row["streak_id"]).rpartition("_")[2])
    text = f"#{number} ({x0:.1f}, {y0:.1f}) to ({x1:.1f}, {y1:.1f}) px, S/N {row['snr']:.1f}"
    if "label" in row.colnames:
        text += f", {row['label']}"
    if "p_real" in row.colnames and math.isfinite(row["p_real"]):
        text += f", p_real {row['p_real']:.2g}"
    if "ssnamenr" in row.colnames and str(row["ssnamenr"]) != "null":
        text += f", {row['ssnamenr']} at {row['ssdistnr'].value:.1f} arcsec"
    return text
