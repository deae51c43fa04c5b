"""Pictures of light curves: folded by their period, drawn without a plotting library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streaks.plotting.drawing import cv2_module

__all__ = ["Folded", "folded_picture"]

_PANEL = (420, 250)
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 10, 34, 28
#: Blue, vermilion, green, purple of Okabe & Ito (2008), told apart by all eyes.
_COLOURS = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167))
_INK, _PAPER, _CURVE, _GRID = (40, 40, 40), (255, 255, 255), (20, 20, 20), (225, 225, 225)
#: Steps between marks of magnitude.
_STEPS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_SHIFT = 4


@dataclass(frozen=True, eq=False)
class Folded:
    """One light curve, folded.

    Parameters
    ----------
    title, subtitle
        Above the panel.
    turn, mag : (n,)
        Phase of rotation (0 to 1) and magnitude.
    band : (n,) int
        Colour of each point.
    model_turn, model_mag : (m,)
        The fit.
    """

    title: str
    subtitle: str
    turn: NDArray[np.float64]
    mag: NDArray[np.float64]
    band: NDArray[np.int64]
    model_turn: NDArray[np.float64]
    model_mag: NDArray[np.float64]


def folded_picture(curves: Sequence[Folded], columns: int = 3) -> NDArray[np.uint8]:
    """Panels of folded light curves, bright up, in rows.

    Parameters
    ----------
    curves
        At least one.
    columns
        Panels a row.

    Returns
    -------
    (ny, nx, 3) uint8
        RGB.
    """
    width, height = _PANEL
    columns = min(columns, len(curves))
    rows = -(-len(curves) // columns)
    picture = np.full((rows * height, columns * width, 3), 255, np.uint8)
    for k, curve in enumerate(curves):
        panel = np.full((height, width, 3), 255, np.uint8)
        _draw(panel, curve)
        y, x = (k // columns) * height, (k % columns) * width
        picture[y : y + height, x : x + width] = panel
    return picture


def _draw(panel: NDArray[np.uint8], curve: Folded) -> None:
    cv2 = cv2_module()
    height, width = panel.shape[:2]
    low, high = _limits(curve)
    inner_w, inner_h = width - _LEFT - _RIGHT, height - _TOP - _BOTTOM

    def place(turn: NDArray[np.float64], mag: NDArray[np.float64]) -> NDArray[np.int64]:
        x = _LEFT + np.asarray(turn) * inner_w
        y = _TOP + (np.clip(mag, low, high) - low) / (high - low) * inner_h
        return np.asarray(np.round(np.stack([x, y], axis=-1) * 2**_SHIFT), dtype=np.int64)

    step = next((s for s in _STEPS if (high - low) / s <= 6), _STEPS[-1])
    for value in np.arange(np.ceil(low / step) * step, high, step):
        ((x, y),) = place(np.array([0.0]), np.array([value])) >> _SHIFT
        cv2.line(panel, (int(x), int(y)), (width - _RIGHT, int(y)), _GRID, 1)
        _text(panel, f"{value:+.2f}", (4, int(y) + 4), 0.36)
    for turn in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = round(_LEFT + turn * inner_w)
        _text(panel, f"{turn:g}", (x - 8, height - 10), 0.36)
    cv2.rectangle(panel, (_LEFT, _TOP), (width - _RIGHT, height - _BOTTOM), (150, 150, 150), 1)
    for place_px, band in zip(place(curve.turn, curve.mag), curve.band.tolist(), strict=True):
        cv2.circle(
            panel, tuple(place_px.tolist()), round(1.8 * 2**_SHIFT),
            _COLOURS[band % len(_COLOURS)], -1, cv2.LINE_AA, _SHIFT,
        )  # fmt: skip
    closed = np.append(curve.model_turn, 1.0), np.append(curve.model_mag, curve.model_mag[:1])
    cv2.polylines(panel, [place(*closed)[:, None].astype(np.int32)], False, _CURVE, 2,
                  cv2.LINE_AA, _SHIFT)  # fmt: skip
    _text(panel, curve.title, (8, 14), 0.44)
    _text(panel, curve.subtitle, (8, 29), 0.36)


def _limits(curve: Folded) -> tuple[float, float]:
    """Magnitudes at the top and bottom; a few strays are drawn at the rim."""
    values = np.concatenate([np.percentile(curve.mag, [1, 99]), curve.model_mag])
    room = max(0.08 * float(np.ptp(values)), 0.01)
    return float(values.min()) - room, float(values.max()) + room


def _text(panel: NDArray[np.uint8], text: str, at: tuple[int, int], scale: float) -> None:
    cv2 = cv2_module()
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(panel, plain, at, cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, 1, cv2.LINE_AA)
