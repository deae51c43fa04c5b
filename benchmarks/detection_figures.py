"""The figures of the detector's benchmark, each beside its target."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection_run import Searched
from benchmarks.detection_scoring import (
    Depth,
    depth,
    ends_in_order,
    half_width,
    median_and_error,
    wilson,
)

__all__ = [
    "Line",
    "complete_above",
    "depth_of",
    "edge_ends",
    "failures",
    "false_per_frame",
    "kind_lines",
    "markdown",
    "rewrite_block",
    "snr_text",
    "together_lines",
]

#: Kinds of frames with clutter, drawn in two ways.
CLUTTERED = ("clutter", "winged")
#: A ZTF quadrant holds so many of our frames.
QUADRANTS = 3072 * 3080 / 2048**2
#: Quoted errors are judged above this S/N: below, what is found is what the noise has helped,
#: and no error bar can know that.
_UNBIASED_SNR, _FLUX_SNR = 8.0, 10.0
#: An end at an edge or mask is a lower limit, a failed fit has no errors (`tables.StreakFlag`).
_LOWER_LIMIT, _FIT_FAILED = 1 | 2 | 4 | 8, 512
_BEGIN, _END = "<!-- {what}: begin -->", "<!-- {what}: end -->"


@dataclass(frozen=True)
class Line:
    """One figure beside its target; `met` is None where there is no target."""

    what: str
    value: str
    target: str = ""
    met: bool | None = None
    number: float = math.nan


def depth_of(
    frames: Sequence[Searched], cut: float | None = None, *, resamples: int = 200
) -> tuple[Depth, float]:
    return depth(
        [f.truth.snr for f in frames],
        [f.score for f in frames],
        [f.found.score[f.pairs.false] for f in frames],
        cut=cut,
        resamples=resamples,
    )


def false_per_frame(frames: Sequence[Searched], cut: float = -math.inf) -> float:
    return sum(np.sum(f.found.score[f.pairs.false] >= cut) for f in frames) / len(frames)


def repeats_per_frame(frames: Sequence[Searched], cut: float = -math.inf) -> float:
    return sum(np.sum(f.found.score[f.pairs.repeat] >= cut) for f in frames) / len(frames)


def complete_above(
    frames: Sequence[Searched], snr: float, cut: float = -math.inf, *, least_visible: float = -1.0
) -> tuple[int, int]:
    """How many streaks above an S/N were found, of how many; S/N counts masked pixels too."""
    of = np.concatenate([(f.truth.snr > snr) & (f.truth.visible > least_visible) for f in frames])
    score = np.concatenate([f.score for f in frames])
    return int(np.sum(of & (score >= cut) & np.isfinite(score))), int(of.sum())


def measured(frames: Sequence[Searched], cut: float) -> dict[str, NDArray[np.float64]]:
    """Errors of what was found above a cut (estimate minus truth), a row a streak."""
    parts = [_measured_in(f, cut) for f in frames]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _measured_in(frame: Searched, cut: float) -> dict[str, NDArray[np.float64]]:
    rows = np.flatnonzero((frame.score >= cut) & (frame.pairs.found >= 0))
    index = frame.pairs.found[rows]
    true = frame.truth.ends[rows]
    ends = ends_in_order(frame.found.ends[index], true)
    # The first end of ours may be the last of the truth: errors of both ends go along.
    turned = np.any(ends != frame.found.ends[index], axis=1)
    own = {name: values[index] for name, values in frame.found.columns.items()}
    step = true[:, 2:] - true[:, :2]
    length = np.hypot(*step.T)
    u = step / length[:, None]
    normal = np.stack([-u[:, 1], u[:, 0]], axis=1)
    off = ends - true
    got = ends[:, 2:] - ends[:, :2]
    theta = np.degrees(np.arctan2(np.sum(got * normal, axis=1), np.sum(got * u, axis=1)))
    errors = {
        "snr": frame.truth.snr[rows],
        "length": length,
        "across": 0.5 * np.sum((off[:, :2] + off[:, 2:]) * normal, axis=1),
        "theta": theta,
        "along0": np.sum(off[:, :2] * u, axis=1),
        "along1": np.sum(off[:, 2:] * u, axis=1),
        "d_length": np.hypot(*got.T) - length,
        "true_flux": frame.truth.flux[rows],
    }
    if own:
        flip = own["along0_err"].copy()
        own["along0_err"] = np.where(turned, own["along1_err"], own["along0_err"])
        own["along1_err"] = np.where(turned, flip, own["along1_err"])
    return errors | {f"own_{name}": values for name, values in own.items()}


# Lines of a kind


def kind_lines(
    kind: str,
    opened: Sequence[Searched],
    usual: Sequence[Searched],
    min_score: float,
    white: Sequence[Searched] | None = None,
) -> list[Line]:
    """The figures of one kind of frames."""
    if kind == "crossing":
        return list(_crossing_lines(usual))
    at_one, cut = depth_of(opened)
    lines = [*_depth_lines(kind, opened, at_one, cut, white)]
    lines += _usual_lines(kind, usual, min_score)
    lines += _completeness_lines(kind, opened, usual, cut)
    lines += _error_lines(opened, cut)
    lines += _pull_lines(opened, cut)
    lines.append(Line("CPU s a frame (median)", f"{np.median([f.found.cpu_s for f in usual]):.2f}"))
    return lines


def together_lines(usual: Sequence[Searched], min_score: float) -> list[Line]:
    """Errors over quoted errors of all kinds of frames together, at the finder's own settings."""
    return list(_pull_lines(usual, min_score))


def _depth_lines(
    kind: str,
    opened: Sequence[Searched],
    at_one: Depth,
    cut: float,
    white: Sequence[Searched] | None,
) -> Iterator[Line]:
    targets = {"clean": 5.8, "clutter": 6.2, "winged": 6.3}
    limit = targets.get(kind)
    what = "S/N of 50 % completeness at one false detection a frame"
    if limit is not None:
        yield Line(what, _depth_text(at_one), f"<= {limit}", at_one.s50 <= limit, at_one.s50)
    elif white is None:
        yield Line(what, _depth_text(at_one), number=at_one.s50)
    else:
        clean, _ = depth_of(white)
        ratio = at_one.s50 / clean.s50
        yield Line(what + " (S/N of this noise's own matched filter)", _depth_text(at_one),
                   number=at_one.s50)  # fmt: skip
        yield Line("the same against the clean frames of this run", f"{ratio:.3f}", "<= 1.10",
                   ratio <= 1.10, ratio)  # fmt: skip
    lowest = "none needed: fewer than one a frame" if cut == -math.inf else f"{cut:.2f}"
    yield Line("score cut that leaves one false detection a frame", lowest, number=cut)
    if kind == "correlated":
        per_white = float(np.median(np.concatenate(
            [f.truth.snr_white / f.truth.snr for f in opened])))  # fmt: skip
        yield Line("S/N by the white-noise formula is higher by a factor of", f"{per_white:.3f}",
                   number=per_white)  # fmt: skip


def _usual_lines(kind: str, usual: Sequence[Searched], min_score: float) -> Iterator[Line]:
    own, _ = depth_of(usual, cut=min_score)
    yield Line(f"the same S/N at the default min_score of {min_score:g}", _depth_text(own),
               number=own.s50)  # fmt: skip
    false = false_per_frame(usual)
    judged = kind == "correlated"
    yield Line(
        "false detections a frame at the default",
        f"{false:.2f}",
        f"<= {1.5 / QUADRANTS:.2f} (about 1 a quadrant)" if judged else "",
        false <= 1.5 / QUADRANTS if judged else None,
        false,
    )
    if kind in CLUTTERED:
        quadrant = false * QUADRANTS
        yield Line("false detections a ZTF quadrant at the default", f"{quadrant:.2f}",
                   "about 1 (<= 1.5)", quadrant <= 1.5, quadrant)  # fmt: skip
    repeats = repeats_per_frame(usual)
    yield Line("further pieces of streaks already found, a frame", f"{repeats:.2f}", number=repeats)


def _completeness_lines(
    kind: str, opened: Sequence[Searched], usual: Sequence[Searched], cut: float
) -> Iterator[Line]:
    snr, target = (10.0, 0.97) if kind in CLUTTERED else (9.0, 0.99)
    for where, frames, at in (
        ("at one false detection a frame", opened, cut),
        ("at the default", usual, -math.inf),
    ):
        found, of = complete_above(frames, snr, at)
        share = found / max(of, 1)
        low, high = wilson(found, of)
        judged = kind in ("clean", *CLUTTERED)
        yield Line(
            f"completeness above S/N {snr:g} {where}",
            f"{share:.4f} ({found} of {of}; {low:.3f}-{high:.3f})",
            f"> {target}" if judged else "",
            share > target if judged else None,
            share,
        )
    if kind in CLUTTERED:
        found, of = complete_above(usual, snr, least_visible=0.5)
        yield Line(
            f"completeness above S/N {snr:g} at the default, of streaks not mostly behind masks",
            f"{found / max(of, 1):.4f} ({found} of {of})",
            number=found / max(of, 1),
        )


def _error_lines(opened: Sequence[Searched], cut: float) -> Iterator[Line]:
    m = measured(opened, cut)
    whole = _whole(m)
    ends = np.abs(np.concatenate([m["along0"][whole], m["along1"][whole]]))
    for what, values, limit, unit in (
        ("across", np.abs(m["across"]), 0.1, "px"),
        ("angle", np.abs(m["theta"]), 0.4, "deg"),
        ("end along the track", ends, 1.0, "px"),
    ):
        value = float(np.median(values))
        yield Line(f"median error {what}", f"{value:.3f} {unit}", f"<= {limit} {unit}",
                   value <= limit, value)  # fmt: skip
    ratio, err = median_and_error(1.0 + m["d_length"][whole] / m["length"][whole])
    yield Line("length ratio, median", f"{ratio:.4f} +- {err:.4f}", "within 1 %",
               abs(ratio - 1) <= 0.01, ratio)  # fmt: skip
    bright = whole & (m["snr"] > _FLUX_SNR)
    ratio, err = median_and_error(m["own_flux"][bright] / m["true_flux"][bright])
    yield Line(f"flux ratio above S/N {_FLUX_SNR:g}, median", f"{ratio:.4f} +- {err:.4f}",
               "within 1 %", abs(ratio - 1) <= 0.01, ratio)  # fmt: skip


def _whole(m: dict[str, NDArray[np.float64]]) -> NDArray[np.bool_]:
    """Streaks of which the finder does not itself say that an end is a lower limit."""
    return (m["own_flags"].astype(int) & _LOWER_LIMIT) == 0


def _pull_lines(opened: Sequence[Searched], cut: float) -> Iterator[Line]:
    """Errors over quoted errors: half of the range that holds 68 %, and median, of each."""
    m = measured(opened, cut)
    flags = m["own_flags"].astype(int)
    sure = (m["snr"] > _UNBIASED_SNR) & ((flags & _FIT_FAILED) == 0)
    for name in ("across", "theta", "length", "along0", "along1", "flux"):
        error = m[f"own_{name}_err"]
        sure &= np.isfinite(error) & (error > 0)
    bright = int(np.sum(m["snr"] > _UNBIASED_SNR))
    yield Line(f"found above S/N {_UNBIASED_SNR:g} without errors (fit failed)",
               f"{bright - int(sure.sum())} of {bright}")  # fmt: skip
    whole = sure & _whole(m)

    def pull(name: str, of: NDArray[np.bool_], quoted: str = "") -> NDArray[np.float64]:
        return m[name][of] / m[f"own_{quoted or name}_err"][of]

    m["d_flux"] = m["own_flux"] - m["true_flux"]
    pulls = {
        "across": pull("across", sure),
        "theta": pull("theta", sure),
        "length": pull("d_length", whole, "length"),
        # Outwards is positive for both ends.
        "ends along": np.concatenate([-pull("along0", whole), pull("along1", whole)]),
        "flux": pull("d_flux", whole, "flux"),
    }
    for name, values in pulls.items():
        (width, width_err), (middle, err) = half_width(values), median_and_error(values)
        yield Line(
            f"pull of {name} above S/N {_UNBIASED_SNR:g}: width; median",
            f"{width:.2f} +- {width_err:.2f}; {middle:+.2f} +- {err:.2f} (n = {len(values)})",
            "0.9-1.1",
            0.9 <= width <= 1.1,
            width,
        )


def _crossing_lines(usual: Sequence[Searched]) -> Iterator[Line]:
    found, of = complete_above(usual, 0.0)
    yield Line("crossing trails from S/N 10 found at the default", f"{found} of {of}", "all",
               found == of, found / max(of, 1))  # fmt: skip
    ends = edge_ends(usual)
    gaps = np.array([end["gap_px"] for end in ends])
    offs = np.array([abs(end["across_px"]) for end in ends])
    at_edge = int(np.sum(gaps <= 3.0))
    yield Line("their ends within 3 px of the frame's edge", f"{at_edge} of {len(gaps)}", "all",
               at_edge == len(gaps), at_edge / max(len(gaps), 1))  # fmt: skip
    value = float(np.median(offs)) if len(offs) else math.nan
    yield Line("their median error across, at the ends", f"{value:.3f} px", number=value)
    repeats = repeats_per_frame(usual)
    yield Line("further pieces of trails already found, a frame", f"{repeats:.2f}", number=repeats)
    false = false_per_frame(usual)
    yield Line("false detections a frame at the default", f"{false:.2f}", number=false)


def edge_ends(
    frames: Sequence[Searched], shape: tuple[int, int] = (2048, 2048)
) -> list[dict[str, Any]]:
    """Every found end of a crossing trail: how far from the border, and across from the trail."""
    ny, nx = shape
    rows = []
    for f in frames:
        for i in np.flatnonzero(f.pairs.found >= 0):
            true = f.truth.ends[i]
            ends = ends_in_order(f.found.ends[f.pairs.found[i]], true)[0]
            ux, uy = (true[2:] - true[:2]) / np.hypot(*(true[2:] - true[:2]))
            for k in (0, 2):
                x, y = ends[k : k + 2]
                dx, dy = ends[k : k + 2] - true[k : k + 2]
                gap = abs(min(x + 0.5, y + 0.5, nx - 0.5 - x, ny - 0.5 - y))
                rows.append({
                    "frame": f.truth.name, "snr": round(float(f.truth.snr[i]), 2),
                    "true_end": np.round(true[k : k + 2], 1).tolist(),
                    "gap_px": round(float(gap), 2), "across_px": round(float(dy * ux - dx * uy), 3),
                })  # fmt: skip
    return rows


def _depth_text(d: Depth) -> str:
    return f"{snr_text(d.s50)} ({snr_text(d.low)}-{snr_text(d.high)})"


def snr_text(s50: float) -> str:
    if s50 == -math.inf:
        return "under 4"
    if s50 > 30:
        return "over 30" if math.isfinite(s50) else "never"
    return f"{s50:.2f}"


# What was missed, and what is false: for whoever works on the finder


def failures(
    frames: Sequence[Searched], *, missed_above: float, cut: float = -math.inf
) -> dict[str, list[dict[str, Any]]]:
    """Bright streaks not found and false detections, with frame and place."""
    missed: list[dict[str, Any]] = []
    false: list[dict[str, Any]] = []
    for f in frames:
        score = f.score
        for i in np.flatnonzero((f.truth.snr > missed_above) & ((score < cut) | np.isinf(score))):
            ends = f.truth.ends[i]
            missed.append({
                "frame": f.truth.name, "snr": round(float(f.truth.snr[i]), 2),
                "length": round(float(np.hypot(*(ends[2:] - ends[:2]))), 1),
                "ends": np.round(ends, 1).tolist(), "visible": round(float(f.truth.visible[i]), 3),
                "score": None if math.isinf(score[i]) else round(float(score[i]), 2),
            })  # fmt: skip
        for d in np.flatnonzero(f.pairs.false & (f.found.score >= cut)):
            own = f.found.columns
            false.append({
                "frame": f.truth.name, "score": round(float(f.found.score[d]), 2),
                "ends": np.round(f.found.ends[d], 1).tolist(),
                **{n: round(float(own[n][d]), 2) for n in ("snr", "flags") if n in own},
            })  # fmt: skip
    return {
        "missed": sorted(missed, key=lambda row: -row["snr"]),
        "false": sorted(false, key=lambda row: -row["score"]),
    }


def markdown(kind: str, lines: Sequence[Line]) -> str:
    rows = [f"| {kind} | measured | target | |", "|---|---|---|---|"]
    marks = {True: "met", False: "**not met**", None: ""}
    rows += [f"| {x.what} | {x.value} | {x.target} | {marks[x.met]} |" for x in lines]
    return "\n".join(rows)


def rewrite_block(path: Path, what: str, text: str) -> None:
    """Put a text between the marks of a document that name it."""
    begin, end = _BEGIN.format(what=what), _END.format(what=what)
    document = path.read_text()
    if document.count(begin) != 1 or document.count(end) != 1:
        raise SystemExit(f"{path} needs the lines {begin!r} and {end!r} once each; add them")
    head, rest = document.split(begin)
    tail = rest.split(end)[1]
    path.write_text(f"{head}{begin}\n{text.strip()}\n{end}{tail}")
