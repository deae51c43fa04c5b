"""Classifiers and tasks for worker processes of tests: importable, so that they can be sent."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.classification import OUTPUTS
from streaks.config import DetectionConfig, Settings
from streaks.cutouts import Cutouts
from streaks.errors import ModelError
from streaks.search import Search

#: Above what noise alone ever reaches in frames as small as the tests'.
SURE = Search(settings=Settings(detection=DetectionConfig(threshold_snr=9.0)))


def sure(load_classifier: Callable[[], Any], classifier: str, **more: Any) -> Search:
    """`SURE`, with a classifier."""
    return replace(SURE, load_classifier=load_classifier, classifier=classifier, **more)


class EvenClassifier:
    """Knows nothing, but is sure of asteroids where a cutout's middle is bright."""

    name = "even"

    def predict_proba(self, cutouts: Cutouts) -> NDArray[np.float64]:
        p = np.full((len(cutouts), len(OUTPUTS)), 0.02)
        p[:, 0] = 1.0 - 0.02 * (len(OUTPUTS) - 1)
        return p


class DeadlyClassifier(EvenClassifier):
    """Kills its process on a frame whose name says so."""

    def predict_proba(self, cutouts: Cutouts) -> NDArray[np.float64]:
        if any(name.startswith("killer") for name in cutouts.names):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().predict_proba(cutouts)


class HangingClassifier(EvenClassifier):
    """Never answers on a frame whose name says so."""

    def predict_proba(self, cutouts: Cutouts) -> NDArray[np.float64]:
        if any(name.startswith("hanging") for name in cutouts.names):
            time.sleep(600)
        return super().predict_proba(cutouts)


class GreedyClassifier(EvenClassifier):
    """Eats memory on a frame whose name says so."""

    def predict_proba(self, cutouts: Cutouts) -> NDArray[np.float64]:
        if any(name.startswith("greedy") for name in cutouts.names):
            eaten = [np.zeros(2**27) for _ in range(8)]  # 8 GiB
            assert eaten
        return super().predict_proba(cutouts)


class BriefClassifier(EvenClassifier):
    """Takes a moment, so that a kill finds a night at work."""

    def predict_proba(self, cutouts: Cutouts) -> NDArray[np.float64]:
        time.sleep(0.15)
        return super().predict_proba(cutouts)


class SlowClassifier(EvenClassifier):
    """Takes its time, and leaves its process number in a folder."""

    def __init__(self, folder: str) -> None:
        Path(folder, str(os.getpid())).touch()

    def predict_proba(self, cutouts: Cutouts) -> NDArray[np.float64]:
        time.sleep(0.3)
        return super().predict_proba(cutouts)


def no_classifier() -> Any:
    raise ModelError("there is no such model here")


def dying_setup() -> Callable[[Any], Any]:
    os._exit(3)


def square_setup() -> Callable[[float], float]:
    return _square


def _square(x: float) -> float:
    if x == 13:
        raise ValueError("thirteen\nis not squared")
    if x == 99:
        os.kill(os.getpid(), signal.SIGKILL)
    if x == 60:
        time.sleep(60)
    return x * x


def environment_setup() -> Callable[[str], str]:
    return lambda name: os.environ.get(name, "")


def faults_setup() -> Callable[[int], int]:
    return _page_faults


def _page_faults(n_bytes: int) -> int:
    """Pages asked from the system when memory is taken that was just given back."""
    image = b"x" * n_bytes
    del image
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    image = b"y" * n_bytes
    after = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    del image
    return after - before


def growing_setup() -> Callable[[float], int]:
    return _length_of_so_many_bytes


def _length_of_so_many_bytes(n_bytes: float) -> int:
    return len(b"x" * int(n_bytes))


def pid_setup() -> Callable[[float], int]:
    return lambda task: os.getpid()


def origin_setup() -> Callable[[float], tuple[int, int]]:
    return lambda task: (os.getppid(), len(os.listdir(f"/proc/{os.getppid()}/task")))
