"""Pictures for people: whole frames with their streaks marked, cutouts, and triplets.

Everything is drawn with OpenCV, so that a server needs no plotting library. Images come out as
``(h, w, 3)`` uint8 in RGB with **y upwards**, as DS9 shows them: row 0 of a picture is the top of
the frame.

Difference images have two signs: zero is a dark grey, brighter now is white, fainter now black.
Pixels that must not be used are tinted, never drawn as if they held data.
"""

from streaks.plotting.cutouts import (
    STRETCHES,
    cutout_picture,
    cutout_segment,
    cutout_strip,
    subject_png,
    triplet_panel,
)
from streaks.plotting.drawing import (
    Picture,
    decode_picture,
    encode_jpeg,
    encode_png,
    shrink_picture,
)
from streaks.plotting.grey import stretch
from streaks.plotting.overview import frame_overview, mark_truth
from streaks.plotting.subjects import LAYOUTS, examples_picture, subject_pictures

__all__ = [
    "LAYOUTS",
    "STRETCHES",
    "Picture",
    "cutout_picture",
    "cutout_segment",
    "cutout_strip",
    "decode_picture",
    "encode_jpeg",
    "encode_png",
    "examples_picture",
    "frame_overview",
    "mark_truth",
    "shrink_picture",
    "stretch",
    "subject_pictures",
    "subject_png",
    "triplet_panel",
]
