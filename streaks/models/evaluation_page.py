"""One self-contained page about how good classifiers are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from streaks.classification import OUTPUTS
from streaks.models.evaluation import FALSE_POSITIVE_RATES, Evaluation

__all__ = ["evaluation_page"]

_SIDE, _MARGIN = 240, 36
#: The left end of the logarithmic axis of false-positive rates.
_LOWEST_RATE = 1e-4


def evaluation_page(
    evaluations: Sequence[Evaluation],
    *,
    title: str,
    about: Mapping[str, Any],
    galleries: Sequence[Mapping[str, Sequence[tuple[str, str]]]] = (),
) -> str:
    """HTML with figures, ROC and reliability diagrams and confusion matrices.

    Parameters
    ----------
    evaluations
        One a model, all on the same set.
    title, about
        Heading, and what the set is; both are escaped.
    galleries
        One a model: by heading, data URIs of pictures with their captions.

    Returns
    -------
    str
        A page that needs no other file.
    """
    from jinja2 import Environment
    from markupsafe import Markup

    environment = Environment(autoescape=True)
    template = environment.from_string(
        Path(__file__).with_name("evaluation.html").read_text(encoding="utf-8")
    )
    return template.render(
        evaluations=evaluations,
        galleries=list(galleries) or [{}] * len(evaluations),
        title=title,
        about=about,
        outputs=list(OUTPUTS),
        rates=[_percent(rate) for rate in FALSE_POSITIVE_RATES],
        percent=_percent,
        number=_number,
        shade=_shade,
        roc_svg=lambda e: Markup(_roc_svg(e)),
        reliability_svg=lambda e: Markup(_reliability_svg(e)),
    )


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.4g} %"


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def _shade(evaluation: Evaluation, row: int, column: int) -> str:
    """Opacity of a cell: its share of the row."""
    total = int(evaluation.confusion[row].sum())
    return f"{evaluation.confusion[row, column] / max(total, 1) * 0.75:.3f}"


def _frame_svg(marks: str, x_ticks: Sequence[tuple[float, str]]) -> str:
    """Axes from 0 to 1 around what is drawn in them."""
    ticks = "".join(
        f'<text x="{_x(at):.1f}" y="{_SIDE + 14}" text-anchor="middle">{text}</text>'
        for at, text in x_ticks
    ) + "".join(
        f'<text x="{_MARGIN - 5}" y="{_y(at) + 4:.1f}" text-anchor="end">{at:g}</text>'
        for at in (0, 0.5, 1)
    )
    width = _SIDE + _MARGIN + 12
    return (
        f'<svg width="{width}" height="{_SIDE + 22}" font-size="11" fill="#5b6470">'
        f'<rect x="{_MARGIN}" y="8" width="{_SIDE}" height="{_SIDE - 8}" fill="none" '
        f'stroke="#c3c9d0"/>{ticks}{marks}</svg>'
    )


def _x(share: float) -> float:
    return _MARGIN + share * _SIDE


def _y(share: float) -> float:
    return _SIDE - share * (_SIDE - 8)


def _rate_to_share(rate: float) -> float:
    return 1.0 - math.log10(max(rate, _LOWEST_RATE)) / math.log10(_LOWEST_RATE)


def _roc_svg(evaluation: Evaluation) -> str:
    if not evaluation.n_positive or not evaluation.n_negative:
        return _frame_svg("", [])
    corners, last = [], 0.0
    for fpr, tpr in evaluation.roc:
        # Steps, as the curve of a finite set has them.
        corners.append(f"{_x(_rate_to_share(fpr)):.1f},{_y(last):.1f}")
        corners.append(f"{_x(_rate_to_share(fpr)):.1f},{_y(tpr):.1f}")
        last = tpr
    line = f'<polyline fill="none" stroke="#2e6ebe" stroke-width="2" points="{" ".join(corners)}"/>'
    ticks = [(_rate_to_share(rate), f"{rate:g}") for rate in (1e-4, 1e-3, 1e-2, 0.1, 1.0)]
    return _frame_svg(line, ticks)


def _reliability_svg(evaluation: Evaluation) -> str:
    total = max(sum(count for _, _, count in evaluation.reliability), 1)
    marks = (
        f'<line x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(1)}" stroke="#c3c9d0"/>'
        + "".join(
            f'<circle cx="{_x(p):.1f}" cy="{_y(share):.1f}" '
            f'r="{2 + 18 * math.sqrt(count / total):.1f}" fill="#2e6ebe" fill-opacity="0.6"/>'
            for p, share, count in evaluation.reliability
        )
    )
    return _frame_svg(marks, [(0, "0"), (0.5, "0.5"), (1, "1")])
