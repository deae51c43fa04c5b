"""The C library's allocator, told that what is freed will be wanted again."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["keep_freed_memory"]

# From GNU's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> bool:
    """Keep freed images in the process instead of giving them back to the system.

    Otherwise each image of 38 MB is asked for anew page by page: 0.3 of a second and a half for a
    frame of 3072 x 3080 px. For commands that search images in their own process; a night's workers
    are told by their environment (`streaks.night.workers.pool`).

    Returns
    -------
    bool
        False where the C library is not GNU's; nothing is changed then.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 2**26))
    return all(mallopt(parameter, value) == 1 for parameter, value in settings)
