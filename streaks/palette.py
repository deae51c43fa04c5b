"""One colour a class, shared by pictures and pages.

References
----------
Okabe & Ito 2008, "Color Universal Design": eight colours that people with any of the common
colour-vision deficiencies tell apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from streaks.tables import SKIP

__all__ = ["CLASS_COLOURS", "UNCLASSIFIED_COLOUR", "class_colour", "class_rgb"]

#: Colour of each class as ``#rrggbb``; colour never stands alone, the name is always beside it.
CLASS_COLOURS: Mapping[str, str] = MappingProxyType(
    {
        "asteroid": "#e69f00",
        "satellite": "#56b4e9",
        "masked_star": "#d55e00",
        "ghost": "#cc79a7",
        "cosmic_ray": "#009e73",
        "naked_star": "#f0e442",
        "yin_yang": "#0072b2",
        SKIP: "#999999",
    }
)
#: For streaks that no classifier has seen.
UNCLASSIFIED_COLOUR = "#ffffff"


def class_colour(label: str) -> str:
    """``#rrggbb`` of a class; white for a label that is no class."""
    return CLASS_COLOURS.get(label, UNCLASSIFIED_COLOUR)


def class_rgb(label: str) -> tuple[int, int, int]:
    """Red, green and blue of a class, 0 to 255."""
    text = class_colour(label)
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)
