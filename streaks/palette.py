"""One colour a class, shared by pictures and pages.

References
----------
Tol 2021, "Colour Schemes", SRON/EPS/TN/09-002, the "light" qualitative scheme: nine colours that
people with any of the common colour-vision deficiencies tell apart, all light enough to stand out
on a grey sky and to carry dark text.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from streaks.tables import SKIP, UNRESOLVED

__all__ = ["CLASS_COLOURS", "UNCLASSIFIED_COLOUR", "class_colour", "class_rgb"]

#: Colour of each class as ``#rrggbb``; colour never stands alone, the name is always beside it.
CLASS_COLOURS: Mapping[str, str] = MappingProxyType(
    {
        "asteroid": "#ee8866",
        "satellite": "#77aadd",
        "masked_star": "#aaaa00",
        "ghost": "#ffaabb",
        "cosmic_ray": "#44bb99",
        "naked_star": "#eedd88",
        "yin_yang": "#99ddff",
        UNRESOLVED: "#bbcc33",
        SKIP: "#dddddd",
    }
)
#: For streaks that no classifier has seen.
UNCLASSIFIED_COLOUR = "#ffffff"


def class_colour(label: str) -> str:
    """``#rrggbb`` of a class; white for a label that is no class.

    Parameters
    ----------
    label
        Name of a class.

    Returns
    -------
    str
        ``#rrggbb``.
    """
    return CLASS_COLOURS.get(label, UNCLASSIFIED_COLOUR)


def class_rgb(label: str) -> tuple[int, int, int]:
    """Red, green and blue of a class, 0 to 255.

    Parameters
    ----------
    label
        Name of a class; the colour is white for a label that is no class.

    Returns
    -------
    red, green, blue : int
        0 to 255.
    """
    text = class_colour(label)
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)
