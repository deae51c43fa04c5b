"""Bright stars that a line may come from: their spikes, bleeds and rims make most false streaks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streaks.detection.spikes import MaskedStars, masked_stars
from streaks.frame import Frame
from streaks.verdict.lines import Lines

__all__ = ["BrightStars", "bright_stars"]

#: A line points at a star that its own passes within so many px and this share of its radius.
_AIM_PX, _AIM_SHARE = 2.0, 0.35
#: Spikes are looked for no further from the star's mask, px.
_REACH_PX = 500.0
_TOLD = ("star_offset", "star_gap_px", "star_radius_px", "star_nearest_px")


@dataclass(frozen=True, eq=False)
class BrightStars:
    """The saturated stars of a frame, by their masks.

    Parameters
    ----------
    stars
        Centres and radii, px.
    """

    stars: MaskedStars

    def towards(self, lines: Lines) -> dict[str, NDArray[np.float64]]:
        """How lines lie to the stars that they point at, and to the nearest.

        Parameters
        ----------
        lines : n
            In the frame.

        Returns
        -------
        dict of (n,)
            ``star_offset`` (of the line from the star's centre, in units of what still counts as
            pointing at it), ``star_gap_px`` (from the line's end to the star's rim) and
            ``star_radius_px`` of the nearest star that it points at; ``star_nearest_px``, from
            the line to the nearest star's rim. NaN where there is none.
        """
        x, y, radius = self.stars.x, self.stars.y, self.stars.radius
        if not len(x) or not len(lines):
            unknown = np.full(len(lines), np.nan)
            return dict.fromkeys(_TOLD, unknown)
        theta = np.radians(lines.theta)[:, None]
        dx, dy = x - lines.x[:, None], y - lines.y[:, None]
        c, s = np.cos(theta), np.sin(theta)
        along = np.abs(dx * c + dy * s) - 0.5 * lines.length[:, None]
        across = np.abs(dy * c - dx * s)
        offset, gap = across / (_AIM_PX + _AIM_SHARE * radius), along - radius
        aimed = (offset < 1.0) & (gap < _REACH_PX)
        at = np.arange(len(lines)), np.where(aimed, gap, np.inf).argmin(axis=1)
        any_aimed = aimed.any(axis=1)
        return {
            "star_offset": np.where(any_aimed, offset[at], np.nan),
            "star_gap_px": np.where(any_aimed, gap[at], np.nan),
            "star_radius_px": np.where(any_aimed, radius[at[1]], np.nan),
            "star_nearest_px": (np.hypot(np.maximum(along, 0.0), across) - radius).min(axis=1),
        }


def bright_stars(frame: Frame) -> BrightStars:
    """The saturated stars of a frame.

    Parameters
    ----------
    frame
        Its mask tells where they are.

    Returns
    -------
    BrightStars
    """
    return BrightStars(masked_stars(~frame.mask))
