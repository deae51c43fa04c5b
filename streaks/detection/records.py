"""What is known of one line on its way through the detector."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from astropy.table import QTable

from streaks.geometry import Segment
from streaks.tables import StreakFlag
from streaks.trail import TrailFit

__all__ = [
    "Detection",
    "Evidence",
    "Factors",
    "Line",
    "SelfCheck",
    "SetAside",
    "count_set_aside",
]

_NAN = math.nan
_NO_FLAGS = StreakFlag(0)
#: A factor below this is named as the reason of a low score; above it the line is merely faint.
_TELLING_FACTOR = 0.7
#: Lines of a score above this may be streaks, or pieces of one.
_PROMISING = 2.0


class SetAside(StrEnum):
    """Why a line is not in the table."""

    POINT = "point source"  # no longer than a point source looks in this image
    SHARP = "sharp"  # narrower than the PSF: a cosmic ray, a hot pixel
    WIDE = "wide"  # wider than the PSF and not long: a smooth blob
    ILL_FITTED = "ill fitted"  # large residuals: clutter
    UNEVEN = "uneven"  # light in a few places of the track only: a chain of stars
    DIPOLE = "dipole"  # a dark lobe beside the bright one
    MASK = "along a mask"  # bleeds, rims and edges
    POINTS = "row of points"  # two or three stars explain the light better than a trail
    SPIKE = "spike"  # points at a masked star
    PATTERN = "like its parallels"  # rows, columns and bands of the image's own
    NOISE = "like those of the negated image"  # which has as many, and no streaks
    FAINT = "faint"  # below the thresholds, and nothing else speaks against it
    SHORT = "short"  # shorter than `DetectionConfig.min_length_px`
    REPEATED = "found twice"  # in the light of a brighter line
    JOINED = "joined"  # a piece of a longer streak
    EXCESS = "beyond max_streaks"


class _Record:
    """A frozen dataclass that is copied with changes hundreds of times a frame."""

    def updated(self, **changes: Any) -> Self:
        """A copy with other values, as `dataclasses.replace`, in a fifth of its time.

        Parameters
        ----------
        changes
            By name of field.

        Raises
        ------
        TypeError
            For a name that is no field.
        """
        if not changes.keys() <= self.__dict__.keys():
            unknown = ", ".join(sorted(changes.keys() - self.__dict__.keys()))
            raise TypeError(f"{type(self).__name__} has no field {unknown}")
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy.__dict__.update(changes)
        return copy


@dataclass(frozen=True)
class Factors(_Record):
    """What speaks against a line being one streak of light: 1 nothing, 0 everything.

    Their product times the S/N is the score. Each is named after what it speaks against.

    Parameters
    ----------
    point
        Light no longer than a point source's.
    sharp
        Light sharper than the PSF.
    wide
        Light far wider than the PSF.
    ill_fitted
        What the fitted trail leaves.
    uneven
        Light that is not lit throughout.
    dipole
        A dark lobe beside it.
    mask
        What runs along a mask, or is lit near masks only.
    points
        A few stars in a row.
    spike
        What points at a masked star and fades away from it.
    pattern
        Parallel lines, as stripes and straps have them.
    unfitted
        The fit failed: half a chance.
    """

    point: float = 1.0
    sharp: float = 1.0
    wide: float = 1.0
    ill_fitted: float = 1.0
    uneven: float = 1.0
    dipole: float = 1.0
    mask: float = 1.0
    points: float = 1.0
    spike: float = 1.0
    pattern: float = 1.0
    unfitted: float = 1.0

    @property
    def product(self) -> float:
        """How much the line looks like one streak, 0 to 1."""
        return (self.of_fit * self.uneven * self.dipole * self.mask * self.points * self.spike) * (
            self.pattern * self.unfitted
        )

    @property
    def of_fit(self) -> float:
        """What the fit alone tells: `product` is no more than this."""
        return self.point * self.sharp * self.wide * self.ill_fitted

    @property
    def worst(self) -> SetAside:
        """What speaks against the line most; `SetAside.FAINT` where nothing does."""
        named = (
            (self.point, SetAside.POINT), (self.sharp, SetAside.SHARP), (self.wide, SetAside.WIDE),
            (self.ill_fitted, SetAside.ILL_FITTED), (self.uneven, SetAside.UNEVEN),
            (self.dipole, SetAside.DIPOLE), (self.mask, SetAside.MASK),
            (self.points, SetAside.POINTS), (self.spike, SetAside.SPIKE),
            (self.pattern, SetAside.PATTERN),
        )  # fmt: skip
        factor, reason = min(named)
        return reason if factor < _TELLING_FACTOR else SetAside.FAINT


@dataclass(frozen=True)
class Evidence(_Record):
    """What was measured of a line. NaN (-1 for `star_end`) where nobody asked or nothing tells.

    Parameters
    ----------
    length_ratio
        Length over that which a point source seems to have in this image.
    length_sigmas
        Length over its error.
    width_ratio
        Width across over the PSF's.
    narrow_sigmas
        By how many of its errors it is narrower than nine tenths of the PSF.
    residual_share
        Excess of the mean squared residual over what noise leaves, in units of the model's power.
    even_share
        Light outside the brightest quarter of the track, in units of the mean.
    lit_share
        Share of eight equal pieces of the track that are lit.
    lobe_depth
        Depth of the dark lobe beside the track, in units of the bright one's height.
    steady_share
        Share of the light that is left when flashes, or stars on the track, are cut down.
    hidden_share
        Largest share that is masked: of the track, of one side or of the other.
    clear_share
        Light of the track away from masks, in units of that of the whole track.
    points_excess
        By how much more chi-square two or three points explain than the trail does.
    trail_power
        The chi-square that the trail explains.
    star_end
        End at which a masked star lies: 0, 1, 2 on the line itself, -1 none.
    fades
        The light falls off away from that star.
    dashed
        The light goes out and on again.
    end_contrast_0, end_contrast_1
        Fall of the light at each end, in units of the mean light of the track: near 1 where a
        trail ends, near 0 where the light goes on.
    sharpness
        Brightest pixel on the track over the brightest of the fitted trail: near 1 for a trail,
        far above it for hot pixels and cosmic rays.
    asymmetry_sigmas
        Difference of the light on both sides of the track over its noise.
    masked_share
        Share of the track that lies on pixels of no use.
    axis_deg
        Angle to the nearest axis of the pixels, 0 to 45: bleeds and bad columns lie along one.
    parallel_level, parallel_spread
        Level and spread of the S/N of parallel lines beside it: 0 and 1 in white noise.
    """

    length_ratio: float = _NAN
    length_sigmas: float = _NAN
    width_ratio: float = _NAN
    narrow_sigmas: float = _NAN
    residual_share: float = _NAN
    even_share: float = _NAN
    lit_share: float = _NAN
    lobe_depth: float = _NAN
    steady_share: float = _NAN
    hidden_share: float = _NAN
    clear_share: float = _NAN
    points_excess: float = _NAN
    trail_power: float = _NAN
    star_end: int = -1
    fades: bool = False
    dashed: bool = False
    end_contrast_0: float = _NAN
    end_contrast_1: float = _NAN
    sharpness: float = _NAN
    asymmetry_sigmas: float = _NAN
    masked_share: float = _NAN
    axis_deg: float = _NAN
    parallel_level: float = _NAN
    parallel_spread: float = _NAN


@dataclass(frozen=True)
class Line(_Record):
    """One line, and all that the passes of the detector have learnt of it.

    Parameters
    ----------
    start
        As the search found it.
    start_snr
        Matched-filter S/N along it.
    bright_point
        It stands for a bright point source, fitted to learn how long points look.
    fit
        None before the fit.
    evidence, factors
        What was measured, and what that speaks against.
    score
        Larger = surer that this is one real streak; NaN before it is judged.
    flags
        Bits of `StreakFlag`.
    set_aside
        Why it is not in the table; None for what is.
    flux, flux_err
        Counts, of what is in the table.
    flux_aperture, flux_aperture_err
        The same in an aperture along the trail.
    """

    start: Segment
    start_snr: float
    bright_point: bool = False
    fit: TrailFit | None = None
    evidence: Evidence = Evidence()
    factors: Factors = Factors()
    score: float = _NAN
    flags: StreakFlag = _NO_FLAGS
    set_aside: SetAside | None = None
    flux: float = _NAN
    flux_err: float = _NAN
    flux_aperture: float = _NAN
    flux_aperture_err: float = _NAN

    @property
    def segment(self) -> Segment:
        """Where it lies, as far as that is known."""
        return self.start if self.fit is None else self.fit.segment

    @property
    def promising(self) -> bool:
        """Whether it is still in play, with a score that a streak or a piece of one may have."""
        return self.set_aside is None and self.score > _PROMISING

    @property
    def fitted(self) -> TrailFit:
        """The fit of a line that has one.

        Raises
        ------
        ValueError
            Before the fit.
        """
        if self.fit is None:
            raise ValueError("this line has not been fitted")
        return self.fit


@dataclass(frozen=True)
class SelfCheck:
    """How many false lines an image is expected to give.

    Parameters
    ----------
    n_negated
        Lines of its negative that would be streaks; of a large image that seems usual, of as much
        of it as was looked at, brought to the whole; NaN where nobody looked.
    one_false_score
        Score (as measured, before it was corrected) above which one false line is expected; NaN
        where nobody looked.
    divided_by
        What scores were divided by for that; 1 where the noise is as Gaussian noise is.
    """

    n_negated: float = math.nan
    one_false_score: float = math.nan
    divided_by: float = 1.0

    @property
    def failed(self) -> bool:
        """More lines than Gaussian noise gives."""
        return self.divided_by > 1.0


@dataclass(frozen=True, eq=False)
class Detection:
    """The streaks of one frame, and the lines that are none.

    Parameters
    ----------
    table
        Columns `streaks.tables.STREAK_COLUMNS`; ``meta["set_aside"]`` counts the other lines by
        reason.
    streaks
        The record of each row, in the table's order.
    set_aside
        The records of the other lines, each with its reason.
    check
        What the image says of its own noise.
    """

    table: QTable
    streaks: tuple[Line, ...]
    set_aside: tuple[Line, ...]
    check: SelfCheck = SelfCheck()


def count_set_aside(lines: Iterable[Line]) -> dict[str, int]:
    """How many lines were set aside for each reason, most frequent first.

    Parameters
    ----------
    lines
        Those in the table do not count.

    Returns
    -------
    dict
        Number by reason.
    """
    reasons = Counter(str(line.set_aside) for line in lines if line.set_aside is not None)
    return dict(reasons.most_common())
