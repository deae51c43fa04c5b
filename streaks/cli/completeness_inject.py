"""Injections for completeness: stratified, moving from frame to frame as asteroids do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.table import QTable

from streaks.geometry import Segment

if TYPE_CHECKING:
    from streaks.frame import Frame
    from streaks.synth.injection import Placed
    from streaks.synth.moving import Moving

__all__ = ["Injector", "InjectorConfig", "truth_targets"]

Range = tuple[float, float]

#: One injection in so many square pixels, unless told otherwise, and so many a frame at most.
#: One in 17,000 hides 3 % of the others: by crossing them, and in the noise that is measured.
_AREA_PX2, _MOST = 40_000.0, 100
#: Where neither magnitudes nor rates are given: around the limit of any finder, and streaks that
#: are longer than the PSF of most cameras.
_SNR, _LENGTH_PX = (3.0, 40.0), (6.0, 80.0)
#: Injections keep so far from each other, px.
_APART_PX = 30.0
_EDGE_PX = 4.0
#: A field is filled up again when fewer of its asteroids than this share are inside.
_REFILL = 0.6


@dataclass(frozen=True, kw_only=True)
class InjectorConfig:
    """What is injected.

    Parameters
    ----------
    n
        A frame; 0 for as many as its area holds.
    mag, snr
        Range of brightness; of S/N where both are None.
    rate_arcsec_per_s
        Range of motion; None for trails of 6 to 80 px.
    seed
        Of all that is drawn.
    beta
        Moffat exponent of the PSF; None to measure it on each science image's stars.
    """

    n: int = 0
    mag: Range | None = None
    snr: Range | None = None
    rate_arcsec_per_s: Range | None = None
    seed: int = 1
    beta: float | None = None


@dataclass
class Injector:
    """Asteroids that were put into frames so far; a later frame of the same field shows them too.

    Parameters
    ----------
    config
        What is injected.
    """

    config: InjectorConfig
    movers: list[Moving] = field(default_factory=list, init=False)
    _made: int = field(default=0, init=False)

    def inject(self, frame: Frame) -> tuple[Frame, QTable]:
        """A frame with asteroids, and the truth.

        Parameters
        ----------
        frame
            As it was read, with its FWHM.

        Returns
        -------
        frame : Frame
        truth : QTable
            As `streaks.synth.inject_placed` gives it.
        """
        from streaks.synth import Placed, inject_placed, measured_beta, moving_in_frame

        ny, nx = frame.shape
        wanted = self.config.n or int(np.clip(ny * nx / _AREA_PX2, 5, _MOST))
        trails = [
            Placed(segment, flux=one.counts(frame), mover=one.name)
            for one, segment in moving_in_frame(frame, self.movers)
        ]
        fresh: list[Placed] = []
        if len(trails) < _REFILL * wanted:
            fresh = self._drawn(frame, wanted - len(trails), [t.segment for t in trails])
        done, truth = inject_placed(
            frame,
            [*trails, *fresh],
            seed=self.config.seed,
            beta=measured_beta(frame) if self.config.beta is None else self.config.beta,
            photon_noise=frame.gain > 0,
        )
        self._remember(frame, truth[len(trails) :])
        return done, truth

    def _drawn(self, frame: Frame, n: int, others: Sequence[Segment]) -> list[Placed]:
        """New trails, one in each stratum of brightness, of length and of angle."""
        from streaks.completeness.design import stratified, stratified_places

        rng = np.random.default_rng([self.config.seed, *frame.name.encode()])
        ny, nx = frame.shape
        lengths = self._lengths_px(frame)
        taken = [s.midpoint for s in others]
        made = []
        for (light, size, turn), (u, v) in zip(
            stratified(n, 3, rng), stratified_places(n, rng), strict=True
        ):
            length = lengths[0] * (lengths[1] / lengths[0]) ** size
            segment = Segment.from_midpoint(u * (nx - 1), v * (ny - 1), length, 180.0 * turn)
            segment = _shifted_inside(segment, nx, ny)
            x, y = segment.midpoint
            if any(math.hypot(x - a, y - b) < _APART_PX for a, b in taken):
                continue
            taken.append((x, y))
            made.append(self._lit(frame, segment, float(light)))
        return made

    def _lit(self, frame: Frame, segment: Segment, light: float) -> Placed:
        from streaks.synth.injection import Placed

        self._made += 1
        name = f"i{self._made:05d}"
        if self.config.mag is not None:
            low, high = self.config.mag
            flux = 10 ** (0.4 * (frame.zero_point_mag - (low + light * (high - low))))
            return Placed(segment, flux=flux, mover=name)
        low, high = self.config.snr or _SNR
        return Placed(segment, snr=low * (high / low) ** light, mover=name)

    def _lengths_px(self, frame: Frame) -> Range:
        from streaks.errors import FrameError

        longest = 0.25 * min(frame.shape)
        if self.config.rate_arcsec_per_s is None:
            return _LENGTH_PX[0], min(_LENGTH_PX[1], longest)
        scale = frame.exposure_s / frame.pixel_scale_arcsec
        if not scale > 0:
            raise FrameError(
                f"{frame.name} lacks exposure or pixel scale, which --rate needs: give --exposure"
            )
        low, high = (rate * scale for rate in self.config.rate_arcsec_per_s)
        if high > 0.8 * min(frame.shape):
            raise FrameError(f"trails of {high:.0f} px do not fit in {frame.name}; lower --rate")
        return low, high

    def _remember(self, frame: Frame, truth: QTable) -> None:
        """New trails as asteroids that go on; nothing goes on without coordinates and a time."""
        from streaks.synth import Moving

        if frame.wcs is None or frame.time is None or not frame.exposure_s > 0:
            return
        rng = np.random.default_rng([self.config.seed, 1, *frame.name.encode()])
        for row in truth:
            # `pa` is that of the line: the motion is along it, one way or the other.
            pa = float(row["pa"].value) + 180.0 * int(rng.integers(2))
            self.movers.append(
                Moving(
                    str(row["mover"]),
                    float(frame.time.utc.mjd),
                    float(row["ra"].value),
                    float(row["dec"].value),
                    float(row["rate"].value),
                    pa,
                    float(row["mag"].value),
                    float(getattr(row["flux"], "value", row["flux"])),
                )
            )


def truth_targets(truth: QTable, mjd: float, start: int) -> list[dict[str, Any]]:
    """Injections as targets.

    Parameters
    ----------
    truth
        Of one frame.
    mjd
        Of the frame.
    start
        Rows of the source before these.

    Returns
    -------
    list of dict
        By column of `streaks.completeness.TARGET_COLUMNS`, with ``row``.
    """
    number = {
        name: np.asarray(getattr(truth[name], "value", truth[name]), float)
        for name in ("x0", "y0", "x1", "y1", "x", "y", "length", "theta", "mag", "snr", "rate")
    }
    made = []
    for k in range(len(truth)):
        one = {name: float(column[k]) for name, column in number.items()}
        mover, image = str(truth["mover"][k]), str(truth["image"][k])
        made.append({
            **one, "row": start + k, "entry": f"{mover}@{image}", "name": mover, "image": image,
            "angle": one["theta"], "mjd": mjd, "tolerance": 5.0,
        })  # fmt: skip
    return made


def _shifted_inside(segment: Segment, nx: int, ny: int) -> Segment:
    """The same trail, moved until it lies within the image."""
    xs, ys = sorted((segment.x0, segment.x1)), sorted((segment.y0, segment.y1))
    dx = max(_EDGE_PX - xs[0], 0.0) + min(nx - 1 - _EDGE_PX - xs[1], 0.0)
    dy = max(_EDGE_PX - ys[0], 0.0) + min(ny - 1 - _EDGE_PX - ys[1], 0.0)
    return segment.shifted(dx, dy)
