"""A page of real and synthetic cutouts side by side, with what tells them apart."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.cutouts import Cutouts
from streaks.errors import ConfigError
from streaks.synth.cutout_sets.montage import draw_tile
from streaks.synth.realism.comparison import STATISTICS, Comparison, LabelledCutouts

__all__ = ["realism_page"]

_PER_ROW = 10
_GAP_PX = 2


def realism_page(
    comparison: Comparison,
    real: LabelledCutouts,
    synthetic: LabelledCutouts,
    *,
    about: Mapping[str, Any],
    per_class: int = 20,
    seed: int = 0,
) -> str:
    """HTML with pictures of both kinds, areas under the curve, features and statistics.

    Parameters
    ----------
    comparison, real, synthetic
        As `compare` got and gave them.
    about
        What was compared; shown in the page's head.
    per_class
        Pictures of each kind and class, drawn at random.
    seed
        Of that draw.

    Returns
    -------
    str
        A page that needs no other file.

    Raises
    ------
    ConfigError
        If `per_class` is less than 1.
    """
    from jinja2 import Environment

    if per_class < 1:
        raise ConfigError(f"per_class is {per_class}; show at least one")
    rng = np.random.default_rng(seed)
    template = Environment(autoescape=True).from_string(
        Path(__file__).with_name("realism.html").read_text(encoding="utf-8")
    )
    return template.render(
        about=about,
        tells=comparison.tells,
        statistics={
            tell.label: [dict(row) for row in comparison.statistics if row["label"] == tell.label]
            for tell in comparison.tells
        },
        meanings=STATISTICS,
        pictures={
            tell.label: [
                (kind, _data_url(_grid(labelled.of_class(tell.label).cutouts, per_class, rng)))
                for kind, labelled in (("real", real), ("synthetic", synthetic))
            ]
            for tell in comparison.tells
        },
        number=lambda value: "–" if math.isnan(value) else f"{value:.3g}",
        area=lambda value: "–" if math.isnan(value) else f"{value:.2f}",
    )


def _grid(cutouts: Cutouts, n: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    chosen = rng.permutation(len(cutouts))[:n]
    tiles = [draw_tile(cutouts.difference[i], cutouts.mask[i]) for i in chosen]
    tiles = [
        np.pad(tile, ((0, _GAP_PX), (0, _GAP_PX), (0, 0)), constant_values=255) for tile in tiles
    ]
    blank = np.full_like(tiles[0], 255)
    rows = [tiles[k : k + _PER_ROW] for k in range(0, len(tiles), _PER_ROW)]
    return np.vstack([np.hstack(row + [blank] * (_PER_ROW - len(row))) for row in rows])


def _data_url(picture: NDArray[np.uint8]) -> str:
    import cv2

    # Noise hardly shrinks as PNG; at this quality JPEG's own marks are below the noise.
    _, coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 92])
    return "data:image/jpeg;base64," + base64.b64encode(coded.tobytes()).decode("ascii")
