"""Simulated exposures as ZTF's files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from astropy.io import fits
from astropy.time import TimeDelta

from streaks.synth.nights.frames import FramePlan, SimulatedFrame
from streaks.synth.nights.visits import Visit, header_of, image_name

__all__ = ["write_frame"]


def write_frame(
    folder: Path, visit: Visit, plan: FramePlan, frame: SimulatedFrame, *, with_reference: bool
) -> None:
    """Difference (Rice-compressed, in HDU 1), science, mask and, if asked, reference image.

    Parameters
    ----------
    folder
        Must be there.
    visit
        Tells names and headers.
    plan
        What the frame was to hold.
    frame
        Its images.
    with_reference
        Whether the reference image, which a field's visits share, is written too.
    """
    header = _full_header(visit, plan)
    difference = fits.CompImageHDU(
        frame.difference,
        header,
        compression_type="RICE_1",
        quantize_level=16,
        quantize_method=1,
        dither_seed=1 + plan.seed % 10000,
    )
    fits.HDUList([fits.PrimaryHDU(), difference]).writeto(folder / f"{image_name(visit)}.fits.fz")
    fits.PrimaryHDU(frame.science, header).writeto(folder / f"{visit.name}_sciimg.fits")
    fits.PrimaryHDU(frame.mask, header).writeto(folder / f"{visit.name}_mskimg.fits")
    if with_reference:
        # A frame's name is ztf_{stamp}_{field}_{filter}_{ccd}_o_{quadrant}.
        _, _, field, band, ccd, _, quadrant = visit.name.split("_")
        cards = header_of(visit, plan.shape, plan.config)
        fits.PrimaryHDU(frame.reference, cards).writeto(
            folder / f"ztf_{field}_{band}_{ccd}_{quadrant}_refimg.fits"
        )


def _full_header(visit: Visit, plan: FramePlan) -> fits.Header:
    config, c = plan.config, visit.conditions
    header = header_of(visit, plan.shape, config)
    end = visit.start + TimeDelta(config.exposure_s, format="sec")
    # What a star finder measures: the PSF after pixels have blurred it.
    seeing = math.hypot(c.science_psf.fwhm_px, 2.3548 / math.sqrt(12.0))
    words = visit.name.split("_")
    cards: list[tuple[str, Any, str]] = [
        ("ORIGIN", "streaks synth night", "simulated"),
        ("OBSJD", float(visit.start.jd), "start of exposure, UTC"),
        ("OBSMJD", float(visit.start.mjd), "start of exposure, UTC"),
        ("SHUTOPEN", visit.start.isot, "UTC"),
        ("SHUTCLSD", end.isot, "UTC"),
        ("EXPTIME", config.exposure_s, "[s]"),
        ("MAGZP", config.zero_point_mag, "[mag]"),
        ("MAGZPUNC", 0.01, "[mag]"),
        ("GAIN", c.gain, "[e-/DN]"),
        ("READNOI", config.read_noise_e, "[e-]"),
        ("SATURATE", c.saturation, "[DN]"),
        ("SEEING", seeing, "[pixel]"),
        ("FILTER", "ZTF_r", ""),
        ("FIELDID", visit.field_id, ""),
        ("CCDID", int(words[4][1:]), ""),
        ("QID", int(words[6][1:]), ""),
        ("INFOBITS", 0, ""),
    ]
    header.extend(cards)
    return header
