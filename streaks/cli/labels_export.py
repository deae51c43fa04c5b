"""``streaks labels export``: a set of subjects for volunteers."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streaks.cli.progress import show_progress

if TYPE_CHECKING:
    from astropy.table import QTable

    from streaks.config import LabelConfig
    from streaks.geometry import Segment
    from streaks.labelling import KnownSubjects, Material, SubjectSummary, Workflow

__all__ = ["export"]

#: Examples of each class in the field guide, and the seed they are drawn from.
_EXAMPLES, _EXAMPLES_SEED = 4, 20
_EXAMPLES_PX = 128
#: Subjects of known truth: each class as often, or half of them real.
_GOLD_MIX = {
    "kind": "asteroid=1,satellite=1,masked_star=1,ghost=1,cosmic_ray=1,naked_star=1,yin_yang=1",
    "real-or-bogus": "asteroid=0.35,satellite=0.15,masked_star=0.1,ghost=0.1,cosmic_ray=0.1,"
    "naked_star=0.1,yin_yang=0.1",
}


def export(
    sources: Annotated[
        list[Path],
        typer.Argument(
            help="Folders that `streaks night` wrote, folders or files of cutouts, or of alerts."
        ),
    ],
    out: Annotated[Path, typer.Option("--output", "-o", help="New folder for the set.")],
    workflow: Annotated[
        str, typer.Option(help="The question: kind (what kind of streak) or real-or-bogus.")
    ] = "kind",
    skip: Annotated[
        bool, typer.Option("--skip/--no-skip", help="Whether the question has the answer Skip.")
    ] = True,
    layout: Annotated[
        str, typer.Option(help="strip: one picture a subject; frames: one each image.")
    ] = "strip",
    campaign: Annotated[
        Path | None,
        typer.Option(help="Folder of the campaign's ledger: nothing in it is exported again."),
    ] = None,
    isdiffpos: Annotated[
        str, typer.Option(help="t: brighter than the reference, f: fainter, any: both.")
    ] = "t",
    include_negative: Annotated[bool, typer.Option(help="As --isdiffpos any.")] = False,
    min_rb: Annotated[float, typer.Option(help="Least real/bogus score, 0 to 1.")] = 0.0,
    max_rb: Annotated[float, typer.Option(help="Largest real/bogus score, 0 to 1.")] = 1.0,
    rb: Annotated[
        list[str] | None, typer.Option(metavar="LOW:HIGH", help="Band of rb; may be given again.")
    ] = None,
    snr: Annotated[
        list[str] | None, typer.Option(metavar="LOW:HIGH", help="Band of S/N; may be given again.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="Take this class only; may be given again.")
    ] = None,
    mix: Annotated[
        str, typer.Option(help="Shares of the classes: asteroid=0.3,satellite=0.2,...")
    ] = "",
    field: Annotated[
        list[int] | None, typer.Option(help="Take this survey field only; may be given again.")
    ] = None,
    ccd: Annotated[
        list[int] | None, typer.Option(help="Take this CCD only; may be given again.")
    ] = None,
    x: Annotated[str, typer.Option(metavar="LOW:HIGH", help="Range on the chip, px.")] = "",
    y: Annotated[str, typer.Option(metavar="LOW:HIGH", help="Range on the chip, px.")] = "",
    min_detections: Annotated[
        int, typer.Option(help="Least number of detections of the object.")
    ] = 1,
    min_minutes: Annotated[
        float, typer.Option(help="More minutes than this between its first and last detection.")
    ] = 0.0,
    where: Annotated[
        str, typer.Option(help="A condition on columns, such as 'snr > 8 and rb < 0.6'.")
    ] = "",
    active: Annotated[
        str, typer.Option(help="First what models know least: disagreement, entropy or novelty.")
    ] = "",
    limit: Annotated[int, typer.Option(help="Most subjects, by score; 0 for all.")] = 0,
    near_px: Annotated[
        float, typer.Option(help="Streaks of one image nearer than this are one thing.")
    ] = 40.0,
    gold: Annotated[
        float, typer.Option(help="Share of subjects of known truth, with feedback, 0 to 0.5.")
    ] = 0.0,
    gold_mix: Annotated[str, typer.Option(help="Their classes, as --mix; else all alike.")] = "",
    seed: Annotated[int, typer.Option(help="Of gold and order.")] = 1,
    field_guide: Annotated[
        bool, typer.Option("--field-guide/--no-field-guide", help="Write one with examples.")
    ] = True,
    model: Annotated[
        str, typer.Option(help="Classifies cutouts and alerts; none for no classes.")
    ] = "default",
    polarity: Annotated[
        str, typer.Option(help="Of 8-bit pictures: dark or light is positive, or auto.")
    ] = "auto",
    panel_px: Annotated[int, typer.Option(help="Side of a panel, screen px.")] = 384,
    workers: Annotated[int, typer.Option("--workers", "-w", help="Pictures drawn at a time.")] = 2,
    overwrite: Annotated[bool, typer.Option(help="Replace a set that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
) -> int:
    """Write a set of subjects for Zooniverse, from nights, cutouts or alerts.

    One subject a thing (near-duplicates count once), the streak that is meant marked by ticks;
    manifest.csv without an empty cell, question, workflow, tutorial and field guide. Positive
    subtractions only, unless asked otherwise. Then: `streaks labels upload`.
    """
    from streaks.config import LabelConfig
    from streaks.labelling import export_set, parse_band, parse_shares, workflow_of
    from streaks.plotting import subject_pictures

    config = LabelConfig(
        workflow=workflow,
        skip=skip,
        layout=layout,
        isdiffpos=isdiffpos,
        include_negative=include_negative,
        min_rb=min_rb,
        max_rb=max_rb,
        rb_bands=tuple(_in_unit(parse_band(band)) for band in rb or ()),
        snr_bands=tuple(parse_band(band) for band in snr or ()),
        labels=tuple(label or ()),
        mix=parse_shares(mix) if mix else {},
        fields=tuple(field or ()),
        ccds=tuple(ccd or ()),
        x_range=parse_band(x) if x else None,
        y_range=parse_band(y) if y else None,
        min_detections=min_detections,
        min_minutes=min_minutes,
        where=where,
        active=active,
        limit=limit,
        near_px=near_px,
        gold=gold,
        seed=seed,
        panel_px=panel_px,
    )
    shares = parse_shares(gold_mix or _GOLD_MIX[workflow])
    _check_gold(shares, workflow_of(workflow, skip=skip))
    # Before anything is read: a condition that cannot be used, a folder that is taken.
    _check_early(config, out, overwrite)
    material, n_failed = _material(sources, config, model, polarity)
    with ExitStack() as stack:
        summary = export_set(
            material,
            out,
            config,
            draw=functools.partial(subject_pictures, layout=layout),
            campaign=campaign,
            make_known=functools.partial(_gold, shares=shares, workers=workers),
            examples=_examples() if field_guide else None,
            overwrite=overwrite,
            workers=workers,
            progress=_progress(stack, quiet or as_json),
        )
    if as_json:
        print(json.dumps(_plain(summary), sort_keys=True))
    elif not quiet:
        _say(summary)
    return 1 if n_failed else 0


def _in_unit(band: tuple[float, float]) -> tuple[float, float]:
    """Open ends of a band of rb are 0 and 1."""
    return max(band[0], 0.0), min(band[1], 1.0)


def _check_early(config: LabelConfig, out: Path, overwrite: bool) -> None:
    from streaks.expressions import parse_expression
    from streaks.labelling.subjects import check_target

    if config.where:
        parse_expression(config.where)
    check_target(out, overwrite)


def _check_gold(shares: dict[str, float], workflow: Workflow) -> None:
    from streaks.errors import ConfigError
    from streaks.tables import UNRESOLVED

    for name in shares:
        if name == UNRESOLVED or workflow.index_of(name) < 0:
            raise ConfigError(
                f"--gold-mix has {name}, which cannot be made or is no answer of {workflow.name}; "
                "leave it out"
            )


def _material(
    sources: list[Path], config: LabelConfig, model: str, polarity: str
) -> tuple[Material, int]:
    from streaks.cli.label_sources import read_sources, with_disagreement

    material, n_failed = read_sources(sources, model=model, polarity=polarity)
    if config.active == "disagreement":
        material = with_disagreement(material, config, model)
    return material, n_failed


def _gold(
    n: int, size_px: int, seed: int, *, shares: dict[str, float], workers: int
) -> KnownSubjects:
    from streaks.labelling import KnownSubjects
    from streaks.synth import make_subjects

    cutouts, truth = make_subjects(
        n, seed=seed, mix=shares, size_px=max(size_px, 31), workers=workers
    )
    return KnownSubjects(cutouts, [str(name) for name in truth["label"]], _true_ends(truth))


def _examples() -> KnownSubjects:
    """What the field guide shows: a few of each class, the same in every guide."""
    from streaks.labelling import KnownSubjects
    from streaks.plotting import examples_picture
    from streaks.synth import make_subjects
    from streaks.tables import CLASSES, SKIP

    names = (*CLASSES, SKIP)
    cutouts, truth = make_subjects(
        _EXAMPLES * len(names),
        seed=_EXAMPLES_SEED,
        mix={name: 1 / len(names) for name in names},
        size_px=_EXAMPLES_PX,
    )
    ends = _true_ends(truth)
    return KnownSubjects(
        cutouts,
        [str(name) for name in truth["label"]],
        ends,
        draw=lambda rows: examples_picture(cutouts, rows, ends),
    )


def _true_ends(truth: QTable) -> list[Segment | None]:
    import numpy as np

    from streaks.geometry import Segment

    ends = [np.asarray(truth[name].value, dtype=float) for name in ("x0", "y0", "x1", "y1")]
    return [
        Segment(*row) if np.isfinite(row).all() else None for row in np.column_stack(ends).tolist()
    ]


def _progress(stack: ExitStack, quiet: bool) -> Callable[[int, int], None]:
    """A bar that begins with the first subject, when their number is known."""
    shown: list[Callable[[int], None] | None] = []

    def tell(done: int, total: int) -> None:
        if not shown:
            shown.append(stack.enter_context(show_progress(total, "subjects", quiet)))
        if shown[0] is not None:
            shown[0](done)

    return tell


def _plain(summary: SubjectSummary) -> dict[str, object]:
    return {
        "path": str(summary.path),
        "subjects": summary.n_subjects,
        "gold": summary.n_gold,
        "pictures": summary.n_pictures,
        "by_label": dict(summary.by_label),
        "left_out": dict(summary.left_out),
        "largest_bytes": summary.largest_bytes,
    }


def _say(summary: SubjectSummary) -> None:
    classes = ", ".join(f"{n} {name}" for name, n in sorted(summary.by_label.items()))
    gold = f", {summary.n_gold} of known truth" if summary.n_gold else ""
    print(f"{summary.n_subjects} subjects in {summary.path} ({classes}{gold})")
    for reason, n in summary.left_out.items():
        print(f"left out: {n} {reason}")
    print(
        f"{summary.n_pictures} pictures, the largest {summary.largest_bytes / 1000:.0f} kB; "
        f"next: {summary.path}/README.md"
    )
