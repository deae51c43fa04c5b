"""``streaks detect``: images in, one table of streaks out."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streaks.cli.allocator import keep_freed_memory
from streaks.cli.night import classifier_loader, read_settings

if TYPE_CHECKING:
    from astropy.table import QTable

    from streaks.config import Settings
    from streaks.night import FrameResult
    from streaks.readers import FrameFiles, FrameOverrides

__all__ = ["detect"]


def detect(
    images: Annotated[list[Path], typer.Argument(help="FITS images, or folders of them.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="Table to write: .ecsv .csv .parquet .vot .fits .reg .psv .json"
        ),
    ],
    mask: Annotated[Path | None, typer.Option(help="Mask of the one image given.")] = None,
    science: Annotated[Path | None, typer.Option(help="Its science image.")] = None,
    reference: Annotated[Path | None, typer.Option(help="Its reference image.")] = None,
    psf_fwhm: Annotated[float | None, typer.Option(help="FWHM of the PSF, px.")] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Matched-filter S/N of the final cut.")
    ] = None,
    classify: Annotated[bool, typer.Option(help="Name the streaks by class.")] = True,
    classifier: Annotated[
        str, typer.Option("--model", "-m", help="Classifier: default, forest, cnn, or a folder.")
    ] = "default",
    orbits: Annotated[
        Path | None, typer.Option(help="Orbit catalogue in MPCORB columns to match with.")
    ] = None,
    ephemeris: Annotated[
        Path | None,
        typer.Option(
            envvar="STREAKS_EPHEMERIS",
            help="JPL kernel, or a folder of them, for orbits far from their epoch.",
        ),
    ] = None,
    tle: Annotated[
        Path | None, typer.Option(help="Two-line elements, to name satellites by.")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="PNG of the frame with its streaks; a folder for several images."),
    ] = None,
    profile: Annotated[
        str,
        typer.Option(help="Survey profile: a name or a TOML file; by default told by the file."),
    ] = "",
    zero_point: Annotated[
        float | None, typer.Option(help="AB magnitude of one count in the whole exposure.")
    ] = None,
    gain: Annotated[float | None, typer.Option(help="Electrons a count.")] = None,
    exposure: Annotated[float | None, typer.Option(help="Exposure time, s.")] = None,
    time: Annotated[
        str | None, typer.Option(help="MID-exposure, UTC, as 2018-06-07T04:12:33.")
    ] = None,
    observatory: Annotated[str | None, typer.Option(help="MPC code, as I41.")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings, a TOML file.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as one JSON object.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only failures.")] = False,
) -> int:
    """Find the streaks of one image or a few: measured, named, and matched."""
    from streaks.readers import FrameOverrides
    from streaks.reporting import table_suffix, with_station, write_table

    suffix = table_suffix(output)
    keep_freed_memory()
    beside = {"mask": mask, "science": science, "reference": reference}
    frames = _frames(images, beside, profile)
    overrides = FrameOverrides(
        fwhm_px=psf_fwhm, zero_point_mag=zero_point, gain=gain, exposure_s=exposure,
        time=time, observatory=observatory,
    )  # fmt: skip
    tools = _Tools(
        settings=_settings(config, threshold),
        overrides=overrides,
        classifier=_load_classifier(classifier) if classify else None,
        known=_load_sky(orbits, ephemeris),
        satellites=_load_satellites(tle, config),
        plot=plot,
    )
    results: list[FrameResult] = []
    failures: list[tuple[str, str]] = []
    for files in frames:
        _search(files, tools, results, failures, several=len(frames) > 1)
    if not results:
        _name_failures(failures)
        return 2
    table = _stacked([result.streaks for result in results])
    if suffix == ".psv":
        # ADES says of each position where it was taken and in which band.
        stations = [
            with_station(r.streaks, observatory=r.about["observatory"], band=r.about["band"])
            for r in results
        ]
        write_table(_stacked(stations), output)
    else:
        write_table(table, output)
    _say(table, results, failures, output, as_json=as_json, quiet=quiet)
    _name_failures(failures)
    return 1 if failures else 0


@dataclass(frozen=True)
class _Tools:
    """What every image is searched with."""

    settings: Settings
    overrides: FrameOverrides
    classifier: Any
    known: Any
    satellites: Any
    plot: Path | None


def _frames(
    images: Sequence[Path], beside: dict[str, Path | None], profile: str
) -> list[FrameFiles]:
    from streaks.errors import ConfigError
    from streaks.readers import find_frames

    frames = find_frames(images, profile=profile)
    given: dict[str, Any] = {what: path for what, path in beside.items() if path is not None}
    if given and len(frames) > 1:
        raise ConfigError(
            f"--{next(iter(given))} belongs to one image, {len(frames)} were given; "
            "give one image at a time, or a .csv list with such a column"
        )
    return [replace(files, **given) for files in frames]


def _settings(config: Path | None, threshold: float | None) -> Settings:
    settings = read_settings(config)
    if threshold is None:
        return settings
    return replace(settings, detection=replace(settings.detection, threshold_snr=threshold))


def _load_classifier(name: str) -> Any:
    loader = classifier_loader(name)
    return None if loader is None else loader()


def _load_sky(orbits: Path | None, ephemeris: Path | None) -> Any:
    from streaks.night import load_sky

    return None if orbits is None else load_sky(orbits, ephemeris)


def _load_satellites(tle: Path | None, config: Path | None) -> Any:
    from streaks.night import load_satellites

    return None if tle is None else load_satellites(tle, read_settings(config).satellites)


def _search(
    files: FrameFiles,
    tools: _Tools,
    results: list[FrameResult],
    failures: list[tuple[str, str]],
    *,
    several: bool,
) -> None:
    from streaks.errors import InputError
    from streaks.night import process_frame

    try:
        result = process_frame(
            files,
            tools.settings,
            tools.classifier,
            tools.known,
            satellites=tools.satellites,
            overrides=tools.overrides,
            draw=tools.plot is not None,
        )
    except InputError as error:
        failures.append((str(files.image), str(error)))
        return
    if tools.plot is not None:
        _write_plot(result, tools.plot / f"{result.name}.png" if several else tools.plot)
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
    output: Path,
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
    for line in _lines(table, results):
        print(line)
    print(f"{len(table)} streaks in {len(results)} images: {output}")


def _lines(table: QTable, results: Sequence[FrameResult]) -> Iterator[str]:
    """A few words a streak, the best first, for the eye."""
    for result in results:
        yield f"{result.name}: {len(result.streaks)} streaks, {sum(result.seconds.values()):.2f} s"
        for row in result.streaks[:10]:
            yield "  " + _line(row)
        if len(result.streaks) > 10:
            yield f"  and {len(result.streaks) - 10} more"


def _line(row: Any) -> str:
    x0, y0, x1, y1 = (row[name].value for name in ("x0", "y0", "x1", "y1"))
    text = f"({x0:.1f}, {y0:.1f}) to ({x1:.1f}, {y1:.1f}) px, S/N {row['snr']:.1f}"
    if "label" in row.colnames:
        text += f", {row['label']}"
    if "ssnamenr" in row.colnames and str(row["ssnamenr"]) != "null":
        text += f", {row['ssnamenr']} at {row['ssdistnr'].value:.1f} arcsec"
    return text
