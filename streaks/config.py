"""Settings: one frozen dataclass a stage, defaults with their reasons.

TOML is read at the edge (`streaks.cli`); here are values only.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from streaks.errors import ConfigError

__all__ = [
    "DETECTORS",
    "CutoutConfig",
    "DetectionConfig",
    "HoughConfig",
    "LabelConfig",
    "MatchConfig",
    "NamingConfig",
    "NoiseConfig",
    "SatelliteConfig",
    "Settings",
    "TrackletConfig",
    "VerdictConfig",
    "settings_from_mapping",
]


#: Names of detectors: our transform, and scikit-image's probabilistic Hough transform.
DETECTORS = ("radon", "hough")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


#: What each setting may be, ends included: beyond lies a slip of the keyboard, or a run that never
#: ends. Lower ends that are excluded, and what depends on other settings, are checked one by one.
_RANGES: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "noise": {"box_px": (8, 4096)},
    "detection": {
        "threshold_snr": (3, 1000),
        "min_score": (0, 1000),
        "min_length_px": (0, 10_000),
        "max_streaks": (1, 100_000),
        "max_lines": (1, 1_000_000),
        "spike_factor": (0, 1),
        "max_crowding": (1, 1000),
    },
    "hough": {
        "level_sigma": (0.5, 100),
        "min_area_px": (1, 10_000),
        "min_elongation": (1, 1000),
        "min_votes": (1, 10_000),
        "min_line_px": (1, 10_000),
        "max_gap_px": (0, 1000),
    },
    "match": {
        "radius_arcsec": (0, 3600),
        "limiting_mag": (-30, 99),
        "rate_tolerance": (0, 10),
        "angle_tolerance_deg": (0, 180),
        "end_error_arcsec": (0, 3600),
        "across_error_arcsec": (0, 3600),
        "mag_error": (0, 50),
        "density_per_deg2": (0, 1e7),
    },
    "satellite": {
        "max_age_days": (0, 36_525),
        "search_radius_deg": (0, 90),
        "across_km": (0, 1e5),
        "across_km_per_day": (0, 1e5),
        "along_km": (0, 1e5),
        "along_km_per_day": (0, 1e5),
        "across_error_arcsec": (0, 3600),
        "turn_error_deg": (1e-6, 90),
        "max_across_arcsec": (0, 36_000),
        "max_turn_deg": (0, 180),
        "max_candidates": (1, 1000),
        "max_chi2": (0, 1e6),
        "dark_penalty": (0, 1e6),
    },
    "tracklet": {
        "max_gap_s": (0, 172_800),
        "max_rate_arcsec_per_s": (0, 10_000),
        "max_distance_arcsec": (0, 1e6),
        "rate_tolerance": (0, 10),
        "angle_tolerance_deg": (0, 180),
        "max_angle_deg": (0, 180),
        "mag_tolerance": (0, 50),
        "curvature_per_h": (0, 100),
        "max_piece_gap_arcsec": (0, 36_000),
        "piece_angle_deg": (0, 90),
        "piece_offset_arcsec": (0, 3600),
        "repeat_px": (0, 1000),
        "repeat_angle_deg": (0, 90),
        "repeat_images": (3, 1_000_000),
    },
    "verdict": {
        "asteroid_share": (1e-9, 0.9),
        "share_weight": (0, 1e9),
        "min_p_real": (0, 1),
    },
    "label": {
        "limit": (0, 10_000_000),
        "panel_px": (128, 1024),
        "min_detections": (1, 100_000),
        "min_minutes": (0, 1e7),
        "near_px": (0, 1000),
        "gold": (0, 0.5),
        "seed": (0, 2**31 - 1),
    },
}


def _check_ranges(settings: Any, what: str) -> None:
    """Raise where a setting lies outside its range; NaN lies outside of all."""
    for name, (low, high) in _RANGES[what].items():
        value = getattr(settings, name)
        _require(
            low <= value <= high,
            f"{what} setting {name} is {value}; it must be {low:g} to {high:g}",
        )


#: Trails shorter than this can be told from points in sharp images only, px.
SHORT_TRAIL_PX = 3.0


@dataclass(frozen=True, kw_only=True)
class NoiseConfig:
    """How background and noise are measured."""

    #: Background mesh, px. Wider than any streak's PSF-wide cross-section by far, narrower than
    #: gradients and amplifier edges.
    box_px: int = 64
    #: Values at or below this are no data (ZTF users cut below -500; a good ZTF difference has
    #: a sigma of 10-16 counts). NaN switches it off, for images in other units.
    floor: float = float("nan")

    def __post_init__(self) -> None:
        _require(self.box_px >= 8, f"noise box_px is {self.box_px}; it must be at least 8")
        _require(
            not math.isinf(self.floor), f"noise floor is {self.floor}; give counts, or nan for none"
        )
        _check_ranges(self, "noise")


@dataclass(frozen=True, kw_only=True)
class HoughConfig:
    """The classical detector: a threshold, shapes of regions, a probabilistic Hough transform.

    The defaults are those that a reader of scikit-image's own example would begin with.
    """

    #: Pixels of the PSF-filtered image above this many sigma are lit.
    level_sigma: float = 2.5
    #: Smallest region of lit pixels that is kept: two pixels side by side are noise.
    min_area_px: int = 8
    #: Regions less than so many times as long as wide are stars.
    min_elongation: float = 1.5
    #: Lit pixels on a line, its least length and its largest gap, px.
    min_votes: int = 10
    min_line_px: int = 10
    max_gap_px: int = 3

    def __post_init__(self) -> None:
        _check_ranges(self, "hough")


@dataclass(frozen=True, kw_only=True)
class DetectionConfig:
    """What counts as a streak."""

    noise: NoiseConfig = field(default_factory=NoiseConfig)
    hough: HoughConfig = field(default_factory=HoughConfig)
    #: Which detector: ``radon`` is ours, ``hough`` the classical reference.
    detector: str = "radon"
    #: Matched-filter S/N that a line must reach: about one false line in a 3072 x 3080 frame
    #: of pure noise.
    threshold_snr: float = 5.8
    #: Lowest `score` to report: about one false line in a ZTF quadrant of noise. Artifacts have
    #: an S/N, but not the look of a streak; 0 reports every line, for training sets.
    min_score: float = 6.5
    #: Shortest trail (without its PSF) to report, px. Up to the default the PSF and the trail's S/N
    #: decide what can be told from a point; 0 reports whatever there is.
    min_length_px: float = SHORT_TRAIL_PX
    #: Most streaks to report from one image: a broken subtraction must not stop a night.
    max_streaks: int = 500
    #: Look for negative streaks too.
    negative: bool = False
    #: Lines looked at in one frame before their score is known; a frame with more is no
    #: subtraction.
    max_lines: int = 6000
    #: What points at a masked star is its spike, more often than not: its score is this much of
    #: what it would be.
    spike_factor: float = 0.15
    #: A field of stars is searched with so much caution at most: scores are divided by how much
    #: wider the bright side of the noise is than the dark one.
    max_crowding: float = 2.0

    def __post_init__(self) -> None:
        _require(
            self.detector in DETECTORS,
            f"detector is {self.detector!r}; it must be one of {', '.join(DETECTORS)}",
        )
        _require(self.max_lines >= 1, f"max_lines is {self.max_lines}; at least 1")
        _require(
            0 <= self.spike_factor <= 1,
            f"spike_factor is {self.spike_factor}; it must be 0 to 1",
        )
        _require(self.max_crowding >= 1, f"max_crowding is {self.max_crowding}; at least 1")
        _require(
            3.0 <= self.threshold_snr <= 1000.0,
            f"threshold is {self.threshold_snr}; it must be an S/N between 3 and 1000",
        )
        _require(self.min_score >= 0, f"min_score is {self.min_score}; it must not be negative")
        _require(self.min_length_px >= 0, f"min_length_px is {self.min_length_px}; not negative")
        _require(self.max_streaks >= 1, f"max_streaks is {self.max_streaks}; at least 1")
        _check_ranges(self, "detection")


@dataclass(frozen=True, kw_only=True)
class CutoutConfig:
    """Cutouts around streaks."""

    #: Native pixels: 128 holds the longest NEA trails (110 px) whole.
    size_px: int = 128

    def __post_init__(self) -> None:
        _require(
            31 <= self.size_px <= 512, f"cutout size is {self.size_px}; it must be 31 to 512 px"
        )


@dataclass(frozen=True, kw_only=True)
class NamingConfig:
    """How probabilities become what is told of a streak's class."""

    #: How the classes are mixed on the sky that is searched: ``balanced`` as in training,
    #: ``astreaks`` as volunteers found them, or ``class=share,class=share``
    #: (`streaks.classification.parse_mix`).
    mix: str = "balanced"
    #: Tell also which classes cannot be ruled out, and how unlike the training set a cutout is.
    details: bool = True


@dataclass(frozen=True, kw_only=True)
class MatchConfig:
    """The match of streaks with known objects."""

    #: ZTF's own radius for ssdistnr.
    radius_arcsec: float = 30.0
    #: Fainter predictions cannot be what a 30 s exposure shows.
    limiting_mag: float = 23.0
    #: Among several objects within the radius, one whose motion agrees with the streak goes
    #: first: rate within this fraction (trails are cut by masks and edges)...
    rate_tolerance: float = 0.3
    #: ...and direction within this angle (a 10 px trail's direction is good to a few degrees).
    angle_tolerance_deg: float = 15.0
    #: Errors of a measured streak: of an end along it (where the light fades is hard to say),
    #: across it, and of its magnitude (its band is not V, and asteroids turn).
    end_error_arcsec: float = 1.5
    across_error_arcsec: float = 0.7
    mag_error: float = 0.7
    #: Known objects a square degree where the predictions do not tell: near the ecliptic 4.8 % of
    #: random places have one within 30 arcsec.
    density_per_deg2: float = 220.0

    def __post_init__(self) -> None:
        _require(
            min(self.end_error_arcsec, self.across_error_arcsec, self.mag_error) > 0
            and self.density_per_deg2 > 0,
            "errors and density of a match must be > 0; they are "
            f"{self.end_error_arcsec}, {self.across_error_arcsec}, {self.mag_error}, "
            f"{self.density_per_deg2}",
        )
        _require(self.radius_arcsec > 0, f"match radius is {self.radius_arcsec}; it must be > 0")
        _require(
            self.rate_tolerance > 0 and self.angle_tolerance_deg > 0,
            "rate_tolerance and angle_tolerance_deg must be > 0; "
            f"they are {self.rate_tolerance} and {self.angle_tolerance_deg}",
        )
        _check_ranges(self, "match")


@dataclass(frozen=True, kw_only=True)
class SatelliteConfig:
    """The match of streaks with satellites."""

    #: Older elements tell nothing: along the track they may be off by degrees.
    max_age_days: float = 30.0
    #: Around a frame, for satellites that the elements put beside it.
    search_radius_deg: float = 2.0
    #: Errors of two-line elements across and along the track, at their epoch and a day later
    #: (Flohrer et al. 2008: 0.1 to 1 km at the epoch, along the track growing fastest).
    across_km: float = 1.0
    across_km_per_day: float = 0.3
    along_km: float = 2.0
    along_km_per_day: float = 2.0
    #: Of a measured streak: its track, and its angle besides what its length allows.
    across_error_arcsec: float = 1.0
    turn_error_deg: float = 0.3
    #: What is listed at all...
    max_across_arcsec: float = 120.0
    max_turn_deg: float = 10.0
    max_candidates: int = 5
    #: ...and what is named: chi-square of four terms.
    max_chi2: float = 16.0
    #: A satellite in the Earth's shadow does not shine; near its rim it may.
    dark_penalty: float = 25.0

    def __post_init__(self) -> None:
        _require(
            min(self.max_age_days, self.search_radius_deg, self.across_error_arcsec) > 0,
            "max_age_days, search_radius_deg and across_error_arcsec must be > 0; they are "
            f"{self.max_age_days}, {self.search_radius_deg}, {self.across_error_arcsec}",
        )
        _require(self.max_candidates >= 1, f"max_candidates is {self.max_candidates}; at least 1")
        _check_ranges(self, "satellite")


@dataclass(frozen=True, kw_only=True)
class LabelConfig:
    """Which streaks become Zooniverse subjects, and how they are drawn."""

    #: `kind` asks what kind of streak it is, `real-or-bogus` whether it is one.
    workflow: str = "kind"
    #: Whether the question has the answer "skip".
    skip: bool = True
    #: Science, reference and difference as one picture (`strip`) or as one each (`frames`).
    layout: str = "strip"
    #: `t` only, unless asked otherwise: `f`, or `any`.
    isdiffpos: str = "t"
    #: As `isdiffpos = "any"`.
    include_negative: bool = False
    min_rb: float = 0.0
    max_rb: float = 1.0
    #: Bands (least, largest) of rb and S/N, of which one must hold; all where empty.
    rb_bands: tuple[tuple[float, float], ...] = ()
    snr_bands: tuple[tuple[float, float], ...] = ()
    #: Ranges of the midpoint on the chip, px.
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    #: Classes to take; all where empty.
    labels: tuple[str, ...] = ()
    #: CCD numbers and survey fields to take; all where empty.
    ccds: tuple[int, ...] = ()
    fields: tuple[int, ...] = ()
    #: Least number of detections of the object, and minutes from first to last.
    min_detections: int = 1
    min_minutes: float = 0.0
    #: A condition on columns (`streaks.expressions`); none where empty.
    where: str = ""
    #: Shares of the classes among the subjects; as they come where empty.
    mix: Mapping[str, float] = field(default_factory=dict)
    #: Whom the models know least about first: `disagreement`, `entropy` or `novelty`; by score
    #: where empty.
    active: str = ""
    #: Most subjects, the first by `active` or score; 0 for all.
    limit: int = 0
    #: Streaks of one image whose midpoints are nearer are one thing, px: 24 of 107 subjects of a
    #: real campaign lay within this of another.
    near_px: float = 40.0
    #: Side of a drawn panel, screen px.
    panel_px: int = 384
    #: Share of the set that is of known truth, made by the injector.
    gold: float = 0.0
    #: Of gold, and of the order of subjects.
    seed: int = 1

    def __post_init__(self) -> None:
        for name, choices in _LABEL_CHOICES.items():
            value = getattr(self, name)
            _require(
                value in choices,
                f"{name} is {value!r}; it must be one of {', '.join(filter(None, choices))}",
            )
        _require(
            0 <= self.min_rb <= self.max_rb <= 1,
            f"rb range is {self.min_rb} to {self.max_rb}; it must lie in 0 to 1",
        )
        for low, high in self.rb_bands:
            _require(0 <= low <= high <= 1, f"rb band {low}:{high}; it must lie in 0 to 1")
        ranges = (self.x_range, self.y_range)
        for low, high in (*self.snr_bands, *(one for one in ranges if one is not None)):
            _require(low <= high, f"range {low}:{high} is empty; give the lower end first")
        _require(
            128 <= self.panel_px <= 1024, f"panel_px is {self.panel_px}; it must be 128 to 1024"
        )
        _require(self.limit >= 0, f"limit is {self.limit}; it must be 0 (all) or more")
        _require(
            all(math.isfinite(v) and v >= 0 for v in self.mix.values())
            and (not self.mix or sum(self.mix.values()) > 0),
            f"mix is {dict(self.mix)}; shares are numbers from 0 on, and not all 0",
        )
        _check_ranges(self, "label")


#: What a word of the labels' settings may be.
_LABEL_CHOICES: Mapping[str, tuple[str, ...]] = {
    "workflow": ("kind", "real-or-bogus"),
    "layout": ("strip", "frames"),
    "isdiffpos": ("t", "f", "any"),
    "active": ("", "disagreement", "entropy", "novelty"),
}


@dataclass(frozen=True, kw_only=True)
class TrackletConfig:
    """What belongs together across the frames of a night."""

    #: Longest time between two streaks of one motion: what is seen again later in the night is
    #: found by its orbit.
    max_gap_s: float = 10800.0
    #: A rate of 5 arcsec/s is 33 deg/day; faster ones leave the field between exposures.
    max_rate_arcsec_per_s: float = 5.0
    max_distance_arcsec: float = 10800.0
    #: Beyond 4 sigma, a trail's own rate may differ from the motion's by this share: errors of
    #: faint, blended trails are underestimated.
    rate_tolerance: float = 0.15
    #: Likewise its direction...
    angle_tolerance_deg: float = 4.0
    #: ...but never by more: any pair of short trails would do.
    max_angle_deg: float = 25.0
    #: Asteroids tumble: lightcurves of fast rotators reach 1.5 mag.
    mag_tolerance: float = 1.5
    #: Change of velocity an hour as a share of it; close passers seen from a turning Earth reach
    #: a few per cent.
    curvature_per_h: float = 0.05
    #: Pieces of a satellite's trail: gap between them (ZTF's widest is 0.21 deg), and how far
    #: their directions and lines may differ.
    max_piece_gap_arcsec: float = 1000.0
    piece_angle_deg: float = 0.3
    piece_offset_arcsec: float = 3.0
    #: The same place of a chip: midpoints this near and directions this close in this many images.
    repeat_px: float = 8.0
    repeat_angle_deg: float = 5.0
    repeat_images: int = 3

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            _require(value > 0, f"tracklet setting {name} is {value}; it must be > 0")
        _require(
            self.repeat_images >= 3,
            f"repeat_images is {self.repeat_images}; at least 3, two may be chance",
        )
        _check_ranges(self, "tracklet")


@dataclass(frozen=True, kw_only=True)
class VerdictConfig:
    """How streaks are weighed."""

    #: Share of asteroids among the streaks of a sky that nothing is known of: 0.2 % of AStreaks'
    #: subjects are (`streaks.tables.ASTREAKS_MIX`). A run's own streaks change it.
    asteroid_share: float = 0.002
    #: How many streaks that share is worth against the run's own: about those of one image.
    share_weight: float = 30.0
    #: A candidate: what a night lists first, and what its files for reports take.
    min_p_real: float = 0.5

    def __post_init__(self) -> None:
        _check_ranges(self, "verdict")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a whole run."""

    detection: DetectionConfig = field(default_factory=DetectionConfig)
    cutouts: CutoutConfig = field(default_factory=CutoutConfig)
    naming: NamingConfig = field(default_factory=NamingConfig)
    match: MatchConfig = field(default_factory=MatchConfig)
    satellites: SatelliteConfig = field(default_factory=SatelliteConfig)
    tracklets: TrackletConfig = field(default_factory=TrackletConfig)
    verdict: VerdictConfig = field(default_factory=VerdictConfig)
    labels: LabelConfig = field(default_factory=LabelConfig)

    def fingerprint(self) -> str:
        """A short hash that differs where a setting differs.

        Returns
        -------
        str
            The first 16 hexadecimal digits of the SHA-256 of all settings.
        """
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def settings_from_mapping(values: Mapping[str, Any]) -> Settings:
    """Settings from nested plain values (a parsed TOML file).

    Parameters
    ----------
    values
        A mapping for each stage (``detection``, ``noise``...) of that stage's settings by name.
        What is not named keeps its default.

    Returns
    -------
    Settings

    Raises
    ------
    ConfigError
        For an unknown name, naming those that exist, or a value out of range.
    """
    result: Settings = _fill(Settings, values, "settings")
    return result


def _fill(kind: Any, values: Mapping[str, Any], where: str) -> Any:
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where} is {values!r}; expected a table of settings")
    fields = {f.name: f for f in dataclasses.fields(kind)}
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise ConfigError(
            f"{where} has no setting {', '.join(unknown)}; it has {', '.join(sorted(fields))}"
        )
    default = kind()
    filled = {}
    for name, value in values.items():
        current = getattr(default, name)
        if dataclasses.is_dataclass(current):
            filled[name] = _fill(type(current), value, f"{where}.{name}")
            continue
        try:
            filled[name] = _convert(value, type(current))
        except (TypeError, ValueError, OverflowError):
            raise ConfigError(
                f"{where}.{name} is {value!r:.60}; expected {type(current).__name__}"
            ) from None
    return kind(**filled)


def _convert(value: Any, kind: type) -> Any:
    if kind is bool:
        if not isinstance(value, bool):
            raise TypeError
        return value
    if isinstance(value, bool) or (kind is int and isinstance(value, float)):
        raise TypeError
    # A lone text would fall into its letters, and "nan" into a number.
    if kind in (tuple, int, float) and isinstance(value, str):
        raise TypeError
    return kind(value)
