"""Pictures of what a classifier gets wrong, for the page of `streaks evaluate`."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from streaks.cutouts import Cutouts

__all__ = ["draw_gallery"]

_N_EACH = 24
_PANEL_PX = 128


def draw_gallery(
    stacks: list[Cutouts],
    p: np.ndarray,
    labels: np.ndarray,
    keep: np.ndarray,
    marks: Mapping[str, np.ndarray],
) -> dict[str, list[tuple[str, str]]]:
    """By heading, pictures (data URIs) with captions: the worst of each kind first.

    Parameters
    ----------
    stacks
        Of one or several sizes.
    p : (n, 8)
        Probabilities, in the order of all stacks.
    labels : (n,)
        Truth; empty where unlabelled.
    keep : (n,)
        False for those left out.
    marks
        ``positive`` and ``negative``, (n,), where asteroids are known otherwise than by label.

    Returns
    -------
    dict
        ``(data URI, caption)`` of each picture, by heading; headings without any are left out.
    """
    import numpy as np

    from streaks.classification import OUTPUTS

    positive = marks.get("positive", labels == "asteroid") & keep
    negative = marks.get("negative", (labels != "") & (labels != "asteroid")) & keep
    best = np.array(OUTPUTS)[p.argmax(axis=1)]
    wrong = keep & (labels != "") & (best != labels)
    shown = {
        "Taken for none, but scored highest as asteroids": _first(negative, -p[:, 0]),
        "Asteroids scored lowest": _first(positive, p[:, 0]),
        "Surest wrong names": _first(wrong, -p.max(axis=1)),
    }
    where = [(stack, i) for stack in stacks for i in range(len(stack))]

    def caption(row: int) -> str:
        stack, i = where[row]
        said = f"{best[row]} {p[row].max():.2f}, asteroid {p[row, 0]:.3f}"
        return f"{Path(stack.names[i]).name}: {labels[row] or 'no label'}; said {said}"

    return {
        heading: [(_data_uri(*where[row]), caption(row)) for row in rows]
        for heading, rows in shown.items()
        if len(rows)
    }


def _first(mask: np.ndarray, key: np.ndarray) -> list[int]:
    import numpy as np

    rows = np.flatnonzero(mask)
    return [int(row) for row in rows[np.argsort(key[rows], kind="stable")][:_N_EACH]]


def _data_uri(stack: Cutouts, i: int) -> str:
    from streaks.plotting import cutout_picture, encode_jpeg

    picture = cutout_picture(stack.difference[i], stack.mask[i], panel_px=_PANEL_PX)
    return "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(picture)).decode("ascii")
