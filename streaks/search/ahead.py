"""What a search needs late, loaded by a thread while its first frame is read and searched.

A search spends its time in kernels that hold no lock of Python's; a second core can load meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from streaks.classification import Classifier, predict
from streaks.cutouts import Cutouts

__all__ = ["load_ahead"]

_SIDE_PX = 128


def load_ahead(load: Callable[[], Classifier]) -> Future[Classifier]:
    """A classifier, and all that it needs for its first answer, loaded by a thread.

    Parameters
    ----------
    load
        Gives the classifier.

    Returns
    -------
    Future
        Its result is the classifier; what `load` raises comes up there.
    """
    pool = ThreadPoolExecutor(1, "load-ahead")
    future = pool.submit(_tried, load)
    pool.shutdown(wait=False)
    return future


def _tried(load: Callable[[], Classifier]) -> Classifier:
    """The classifier after an answer: its kernels are loaded by then."""
    classifier = load()
    noise = np.random.default_rng(0).normal(size=(1, _SIDE_PX, _SIDE_PX)).astype(np.float32)
    predict(classifier, Cutouts(noise, np.zeros(noise.shape, bool), ("ahead",)))
    return classifier
