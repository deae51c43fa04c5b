"""``streaks completeness``: how deep a search goes, and why what is missing was missed."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streaks.cli import searching as options
from streaks.cli.first_run import compile_once
from streaks.cli.progress import show_progress

if TYPE_CHECKING:
    from astropy.table import QTable

    from streaks.cli.completeness_inject import Injector, InjectorConfig
    from streaks.cli.completeness_run import Bag, Judged, Tally
    from streaks.frame import Frame
    from streaks.readers import FrameFiles
    from streaks.search import FrameResult, Search, Searcher

__all__ = ["completeness"]


def completeness(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            help="FITS images or folders of them; or one folder of `streaks night -o`, which is "
            "not searched again."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="New or empty folder: completeness.html, completeness.json, entries.ecsv.",
        ),
    ],
    inject: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Injections a frame; 0 for none. By default one in 40,000 px, and none in a night "
            "that was searched: these are searched anew.",
        ),
    ] = None,
    mag: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="LOW HIGH", help="Magnitudes of injections."),
    ] = None,
    snr: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="LOW HIGH", help="Or their S/N; default 3 to 40."),
    ] = None,
    rate: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="LOW HIGH", help="Their motion, arcsec/s; default 6 to 80 px long."),
    ] = None,
    beta: Annotated[
        float | None,
        typer.Option(
            min=1.5, help="Moffat exponent of their PSF; by default as the science image's stars."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of what is injected.")] = 1,
    orbits: options.Orbits = None,
    ephemeris: options.Ephemeris = None,
    lists: Annotated[
        list[Path] | None,
        typer.Option(
            "--list",
            help="Things that should be there: .csv .ecsv .vot .fits .parquet, ADES .psv, TNS, "
            "the MPC's 80 columns. May be repeated.",
        ),
    ] = None,
    columns: Annotated[
        str, typer.Option(help="Columns that are not recognised, as ra=RA_OBJ,dec=DE_OBJ.")
    ] = "",
    time_tolerance: Annotated[
        float,
        typer.Option(min=0.0, help="An entry's time may lie so far outside an exposure, s."),
    ] = 30.0,
    references: Annotated[
        bool, typer.Option(help="Look for bad references: what is wrong in all their exposures.")
    ] = True,
    config: options.Config = None,
    model: options.Model = "default",
    verdict: options.Verdict = "default",
    threshold: options.Threshold = None,
    min_score: options.MinScore = None,
    detector: options.Detector = "",
    mix: options.Mix = "",
    profile: options.Profile = "",
    psf_fwhm: options.PsfFwhm = None,
    zero_point: options.ZeroPoint = None,
    gain: options.Gain = None,
    exposure: options.Exposure = None,
    observatory: options.Observatory = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> int:
    """How complete a search is, after detection, after naming and after the verdict.

    Three measures, each where it is asked for: asteroids put into your own frames; known asteroids
    (--orbits) that should be in them; any list (--list). Each thing has exactly one outcome: found,
    or why not. Logistic curves with 95 % intervals, depth at 50 and 90 %, over the chip and over
    the night, as a page, as JSON and as a table.
    """
    from streaks.cli.completeness_inject import InjectorConfig
    from streaks.errors import ConfigError

    _check_ranges({"mag": mag, "snr": snr, "rate": rate})
    if mag is not None and snr is not None:
        raise ConfigError("--mag and --snr were both given; give one")
    search = options.build_search(
        config=config, threshold=threshold, min_score=min_score, detector=detector, mix=mix,
        model=model, verdict=verdict, profile=profile, orbits=orbits, ephemeris=ephemeris,
        fwhm_px=psf_fwhm, zero_point_mag=zero_point, gain=gain, exposure_s=exposure,
        observatory=observatory,
    )  # fmt: skip
    injected = InjectorConfig(
        n=inject or 0, mag=mag, snr=snr, rate_arcsec_per_s=rate, seed=seed, beta=beta
    )
    bags = _read_lists(lists or [], columns)
    night = _night_of(inputs)
    if search.orbits is None and not bags and not (inject if night is not None else inject != 0):
        raise ConfigError(
            "there is nothing to look for: give known asteroids (--orbits), a list (--list), or "
            "asteroids to put into the frames (--inject 10)"
        )
    compile_once(quiet or as_json)
    run = _Run(search, bags, injected, time_tolerance, references, quiet or as_json)
    if night is not None:
        run.look_at_night(night, inject=bool(inject))
    else:
        run.look_at_frames(inputs, inject=inject != 0)
    if not run.tally.shapes:
        _name_failures(run.tally.failures)
        return 2
    figures, table = run.results()
    _write(output, figures, table, run.pictures())
    if as_json:
        print(json.dumps({**_headline(figures), "output": str(output)}))
    elif not quiet:
        for line in _lines(figures):
            print(line)
        print(f"page: {output / 'completeness.html'}")
    _name_failures(run.tally.failures)
    return 1 if run.tally.failures else 0


def _check_ranges(given: dict[str, tuple[float, float] | None]) -> None:
    import math

    from streaks.errors import ConfigError

    for name, bounds in given.items():
        if bounds is None:
            continue
        low, high = bounds
        if not (math.isfinite(low) and math.isfinite(high) and low < high) or (
            name != "mag" and low <= 0
        ):
            raise ConfigError(
                f"--{name} is {low:g} {high:g}; give two numbers, the smaller first"
                + ("" if name == "mag" else ", above 0")
            )


def _read_lists(paths: Sequence[Path], columns: str) -> list[Bag]:
    import numpy as np

    from streaks.cli.completeness_run import Bag
    from streaks.completeness import ENTRY_COLUMNS
    from streaks.readers.target_lists import parse_mapping, read_targets
    from streaks.tables import build_table

    mapping = parse_mapping(columns)
    bags = []
    for path in paths:
        values = read_targets(path, mapping)
        n = len(values["entry"])
        filled = {spec.name: values.get(spec.name, np.full(n, np.nan)) for spec in ENTRY_COLUMNS}
        bags.append(Bag(path.name, build_table(ENTRY_COLUMNS, filled)))
    return bags


def _night_of(inputs: Sequence[Path]) -> Any:
    """The night that is given, or None for images."""
    from streaks.errors import ConfigError
    from streaks.night_folder import NightFolder
    from streaks.night_folder.reading import read_night

    nights = [path for path in inputs if path.is_dir() and NightFolder(path).settings.is_file()]
    if not nights:
        return None
    if len(inputs) > 1:
        raise ConfigError(f"{nights[0]} is a night; give it alone, or images alone")
    return read_night(nights[0])


class _Run:
    """One call of the command: what is gathered frame by frame, and settled in the end."""

    def __init__(
        self,
        search: Search,
        bags: list[Bag],
        injected: InjectorConfig,
        room_s: float,
        references: bool,
        quiet: bool,
    ) -> None:
        from streaks.cli.completeness_inject import Injector
        from streaks.cli.completeness_run import Bag, Tally
        from streaks.completeness import ENTRY_COLUMNS
        from streaks.search.catalogues import load_sky
        from streaks.tables import empty_table

        self.search, self.quiet, self.references = search, quiet, references
        # Known objects are looked up here, once, for what was found and what was not.
        known = None if search.orbits is None else load_sky(search.orbits, search.ephemeris)
        self.tally: Tally = Tally(bags, known, room_s)
        self.injector: Injector = Injector(injected)
        self.injections = Bag("injected", empty_table(ENTRY_COLUMNS))
        self.plain: Judged | None = None
        self.spiked: Judged | None = None

    @functools.cached_property
    def searcher(self) -> Searcher:
        return replace(self.search, orbits=None).prepare()

    def look_at_frames(self, inputs: Sequence[Path], *, inject: bool) -> None:
        """Search frames as they are where something is asked of them, and with injections."""
        from streaks.readers import find_frames

        frames = find_frames(inputs, profile=self.search.profile)
        plain: list[FrameResult] = []
        spiked: list[FrameResult] = []
        as_they_are = bool(self.tally.bags) or self.tally.known is not None
        with show_progress(len(frames), "frames", self.quiet) as progress:
            for number, files in enumerate(frames, start=1):
                frame = self._read(files)
                if frame is not None:
                    self._gather(frame, files, plain if as_they_are else None,
                                 spiked if inject else None)  # fmt: skip
                if progress is not None:
                    progress(number)
        if as_they_are:
            self.plain = self._judged(plain)
        if inject:
            self.spiked = self._judged(spiked)

    def look_at_night(self, night: Any, *, inject: bool) -> None:
        """Take what a night found; its frames are read, and searched only with injections."""
        from streaks.cli.completeness_run import no_lines, stacked
        from streaks.night_folder.frame_results import read_aside
        from streaks.readers import find_frames

        asides: list[QTable] = []
        spiked: list[FrameResult] = []
        done = [row for row in night.frames if str(row["state"]) == "done"]
        with show_progress(len(done), "frames", self.quiet) as progress:
            for number, row in enumerate(done, start=1):
                name, path = str(row["image"]), Path(str(row["path"]))
                asides.append(read_aside(night.folder.part(name)))
                found = find_frames([path], profile=self.search.profile)
                files = replace(found[0], name=name)
                frame = self._read(files)
                if frame is not None:
                    self._gather(frame, files, None, spiked if inject else None)
                if progress is not None:
                    progress(number)
        settings = self.search.settings
        self.plain = self._with_limits(night.streaks, stacked(asides, no_lines()), settings)
        if inject:
            self.spiked = self._judged(spiked)

    def _read(self, files: FrameFiles) -> Frame | None:
        from streaks.cli.completeness_run import read_one
        from streaks.detection import with_fwhm
        from streaks.readers import read_frame

        def read() -> Frame:
            frame = read_frame(
                files.image,
                mask=files.mask,
                science=files.science,
                reference=files.reference,
                variance=files.variance,
                psf=files.psf,
                profile=files.profile or self.search.profile or None,
                overrides=self.search.overrides,
            )
            return with_fwhm(replace(frame, name=files.name), self.search.settings.detection)

        return read_one(read, files.image, self.tally.failures)

    def _gather(
        self,
        frame: Frame,
        files: FrameFiles,
        plain: list[FrameResult] | None,
        spiked: list[FrameResult] | None,
    ) -> None:
        """All that one frame tells; whatever it does, the others' results are kept."""
        from streaks.cli.completeness_run import lazy_scene, view_of
        from streaks.errors import StreaksError

        scene = lazy_scene(frame)
        try:
            if plain is not None:
                plain.append(self.searcher.search_frame(frame, draw=False))
            if spiked is not None:
                self._spike(frame, scene, spiked)
            self.tally.look(frame, scene)
            self.tally.shapes[frame.name] = view_of(frame).shape
            if self.references and frame.reference is not None:
                from streaks.references import reference_clues

                key = _reference_name(frame, files)
                self.tally.clues.append(reference_clues(frame, key))
        except StreaksError as error:
            self.tally.failures.append((str(files.image), str(error)))

    def _spike(self, frame: Frame, scene: Any, spiked: list[FrameResult]) -> None:
        from streaks.cli.completeness_inject import truth_targets
        from streaks.cli.completeness_run import view_of

        with_light, truth = self.injector.inject(frame)
        spiked.append(self.searcher.search_frame(with_light, draw=False))
        measured = replace(scene(), frame=with_light)
        start = len(self.injections.targets)
        for target in truth_targets(truth, view_of(frame).mjd, start):
            self.injections.add(target, measured, frame.fwhm_px)

    def _judged(self, results: Sequence[FrameResult]) -> Judged:
        from streaks.cli.completeness_run import no_lines, stacked
        from streaks.search.judging import judge_linked
        from streaks.tables import empty_streaks

        load = self.search.load_verdict
        streaks, _ = judge_linked(
            stacked([r.streaks for r in results], empty_streaks()),
            {r.name: r.about for r in results},
            None if load is None else load(),
            self.search.settings,
        )
        aside = stacked([r.aside for r in results], no_lines())
        return self._with_limits(streaks, aside, self.search.settings)

    def _with_limits(self, streaks: QTable, aside: QTable, settings: Any) -> Judged:
        from streaks.cli.completeness_run import Judged

        limit = max(settings.detection.threshold_snr, settings.detection.min_score)
        return Judged(streaks, aside, limit, settings.verdict.min_p_real)

    def results(self) -> tuple[dict[str, Any], QTable]:
        """All figures as plain values, and one row an entry."""
        from streaks import __version__
        from streaks.cli.completeness_run import RESULT_COLUMNS, settle, stacked
        from streaks.completeness import summarise
        from streaks.references import judge_references
        from streaks.tables import empty_table

        tables = []
        if self.spiked is not None:
            tables.append(settle(self.injections, self.spiked))
        if self.plain is not None:
            tables += [settle(bag, self.plain) for bag in self.tally.all_bags()]
        sources = [
            {"name": str(t["source"][0]) if len(t) else "", **summarise(t, self.tally.shapes)}
            for t in tables
            if len(t)
        ]
        self.reports = judge_references(self.tally.clues)
        figures = {
            "version": __version__,
            "frames": len(self.tally.shapes),
            "sources": sources,
            "references": [report.plain() for report in self.reports],
            "failed": [{"path": path, "reason": why} for path, why in self.tally.failures],
        }
        return figures, stacked(tables, empty_table(RESULT_COLUMNS))

    def pictures(self) -> dict[str, bytes]:
        """A picture (PNG) of each flagged reference, by its name."""
        from streaks.plotting.references import reference_picture

        return {r.name: reference_picture(r) for r in self.reports if r.faults}


def _reference_name(frame: Frame, files: FrameFiles) -> str:
    if files.reference is not None:
        return files.reference.name
    return (
        " ".join(str(frame.header.get(name, "")) for name in ("field", "ccd", "quadrant")).strip()
        or "reference"
    )


def _write(
    output: Path, figures: dict[str, Any], table: QTable, pictures: dict[str, bytes]
) -> None:
    from streaks.disk import folder_written_whole
    from streaks.reporting import write_table
    from streaks.reporting.completeness_page import write_completeness_page

    with folder_written_whole(output) as stage:
        (stage / "completeness.json").write_text(json.dumps(figures, indent=1) + "\n")
        write_table(table, stage / "entries.ecsv")
        write_completeness_page(
            stage / "completeness.html", figures, table, pictures, title=output.name
        )


def _headline(figures: dict[str, Any]) -> dict[str, Any]:
    """What a program asks for first; the rest is in completeness.json."""
    return {
        "frames": figures["frames"],
        "sources": [
            {
                "name": s["name"],
                "n": s["n"],
                "observed": s["observed"],
                "outcomes": {o["kind"]: o["n"] for o in s["outcomes"]},
                "stages": [
                    {k: stage[k] for k in ("name", "n", "found", "share", "low", "high",
                                           "depth50", "depth90")}
                    for stage in s["stages"]
                ],
            }
            for s in figures["sources"]
        ],
        "bad_references": [r["name"] for r in figures["references"] if r["faults"]],
        "failed": figures["failed"],
    }  # fmt: skip


def _lines(figures: dict[str, Any]) -> list[str]:
    """A few lines for the eye."""
    lines = []
    for source in figures["sources"]:
        lines.append(f"{source['name']}: {source['n']}, {source['observed']} of them on a chip")
        for stage in source["stages"]:
            words = f"  {stage['name']}: {stage['found']} of {stage['n']}"
            if stage["share"] is not None:
                words += f" ({100 * stage['share']:.0f} %)"
            for name in ("depth50", "depth90"):
                if stage[name]["value"] is not None:
                    words += f", {name[5:]} % at {_value(stage[name], source['variable'])}"
            lines.append(words)
        lines.append("  " + ", ".join(f"{o['n']} {o['kind']}" for o in source["outcomes"]))
    bad = [r for r in figures["references"] if r["faults"]]
    if figures["references"]:
        lines.append(f"references: {len(figures['references'])} looked at, {len(bad)} with faults")
        lines += [f"  {r['name']}: {r['summary']}" for r in bad]
    return lines


def _value(depth: dict[str, float | None], variable: str) -> str:
    digits = 2 if variable == "mag" else 1
    unit = "mag" if variable == "mag" else "S/N"
    parts = [
        "?" if depth[name] is None else f"{depth[name]:.{digits}f}"
        for name in ("value", "low", "high")
    ]
    return f"{unit} {parts[0]} ({parts[1]} to {parts[2]})"


def _name_failures(failures: Sequence[tuple[str, str]]) -> None:
    for path, reason in failures:
        print(f"failed: {reason if path in reason else f'{path}: {reason}'}", file=sys.stderr)
