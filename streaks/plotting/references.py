"""The picture of a bad reference: where its faults lie, and the worst of them close up."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from streaks.plotting.drawing import cv2_module, draw_text, encode_png
from streaks.plotting.grey import stretch
from streaks.references import Fault, ReferenceReport

__all__ = ["FAULT_COLOURS", "reference_picture"]

#: By kind of fault.
FAULT_COLOURS = {
    "missing in science": (255, 176, 59),
    "ringed source": (86, 180, 233),
    "negative source": (240, 110, 90),
    "gradient": (180, 160, 255),
}
_WHOLE_PX, _STAMP_PX, _GAP_PX, _CLOSE_UPS = 460, 123, 8, 5
_PAPER = (24, 26, 32)
_INK = (225, 228, 235)


def reference_picture(report: ReferenceReport) -> bytes:
    """The reference with its faults marked, and the first of them close up.

    Parameters
    ----------
    report
        As `streaks.references.judge_references` gives it.

    Returns
    -------
    bytes
        PNG. y is upwards; close-ups are reference, science image and difference.
    """
    whole = _whole(report)
    close = [fault for fault in report.faults if fault.stamps][:_CLOSE_UPS]
    strips = [
        _strip(fault, number)
        for number, fault in enumerate(report.faults, start=1)
        if any(fault is one for one in close)
    ]
    if not strips:
        return encode_png(whole)
    width = max(strip.shape[1] for strip in strips)
    height = max(whole.shape[0], sum(s.shape[0] + _GAP_PX for s in strips) - _GAP_PX)
    picture = np.full((height, whole.shape[1] + _GAP_PX + width, 3), _PAPER, np.uint8)
    picture[: whole.shape[0], : whole.shape[1]] = whole
    top = 0
    for strip in strips:
        left = whole.shape[1] + _GAP_PX
        picture[top : top + strip.shape[0], left : left + strip.shape[1]] = strip
        top += strip.shape[0] + _GAP_PX
    return encode_png(picture)


def _whole(report: ReferenceReport) -> NDArray[np.uint8]:
    cv2 = cv2_module()
    ny, nx = report.shape
    scale = _WHOLE_PX / max(ny, nx)
    size = (max(1, round(nx * scale)), max(1, round(ny * scale)))
    grey = cv2.resize(stretch(report.thumbnail)[::-1], size, interpolation=cv2.INTER_AREA)
    picture = np.ascontiguousarray(np.repeat(grey[:, :, None], 3, axis=2))
    for number, fault in enumerate(report.faults, start=1):
        colour = FAULT_COLOURS[fault.kind]
        if not math.isfinite(fault.x):
            draw_text(picture, fault.kind, (6, size[1] - 8), colour, scale=0.45)
            continue
        at = (round(fault.x * scale), size[1] - 1 - round(fault.y * scale))
        cv2.circle(picture, at, 9, colour, 2, cv2.LINE_AA)
        draw_text(picture, str(number), (at[0] + 11, at[1] + 5), colour, scale=0.4)
    return picture


def _strip(fault: Fault, number: int) -> NDArray[np.uint8]:
    """Close-ups beside each other under one line of words."""
    cv2 = cv2_module()
    names = ("reference", "science", "difference") if len(fault.stamps) == 3 else (
        "reference", "difference"
    )  # fmt: skip
    head = 18
    width = len(names) * _STAMP_PX + (len(names) - 1) * 2
    strip = np.full((head + _STAMP_PX, width, 3), _PAPER, np.uint8)
    draw_text(strip, f"{number} {fault.kind}", (3, 13), FAULT_COLOURS[fault.kind], scale=0.4)
    for k, (name, stamp) in enumerate(zip(names, fault.stamps, strict=True)):
        grey = stretch(stamp, low=-12.0 if name == "difference" else -4.0)[::-1]
        large = cv2.resize(grey, (_STAMP_PX, _STAMP_PX), interpolation=cv2.INTER_NEAREST)
        left = k * (_STAMP_PX + 2)
        strip[head:, left : left + _STAMP_PX] = large[:, :, None]
        place = np.ascontiguousarray(strip[head:, left : left + _STAMP_PX])
        draw_text(place, name, (3, _STAMP_PX - 5), _INK, scale=0.35)
        strip[head:, left : left + _STAMP_PX] = place
    return strip
