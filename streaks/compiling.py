"""The first minute: Numba compiles the kernels once, and keeps them on disk.

A fresh installation has nothing compiled, and its first search would be silent for a minute.
`needed` tells so in a millisecond, without loading Numba; `warm_up` compiles everything that
``streaks detect`` and ``streaks night`` call, or all that ``streaks alerts filter`` does, in two
processes side by side, and says how far it is. Both halves write to the same cache on disk, which
every later process reads. ``python -m streaks.compiling`` does so for both where it is needed.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
import os
import platform
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

__all__ = ["needed", "warm_up"]

_log = logging.getLogger(__name__)

_ROOT = Path(__file__).parent
#: What kernels are compiled for: a frame's search, or a stream of alerts.
Purpose = Literal["frames", "alerts"]
#: Files of kernels that each calls.
_KERNELS: dict[Purpose, tuple[str, ...]] = {
    "frames": (
        "transforms.py", "detection/*.py", "trail/*.py", "noise/*.py", "features/*.py",
        "cutouts/*.py", "readers/rice.py", "readers/pixels.py", "plotting/kernels.py",
    ),
    "alerts": (
        "features/*.py", "trail/*.py", "cutouts/*.py", "known/_motion.py", "known/_radau.py",
    ),
}  # fmt: skip
#: What each of the two processes compiles; about as long one as the other.
_HALVES: dict[Purpose, tuple[str, str]] = {
    "frames": ("lines", "sky"),
    "alerts": ("stamps", "features"),
}
#: Begins each line in which a process says that a kernel is done.
_DONE = "compiled "
_STAMPS: dict[Purpose, str] = {
    "frames": "streaks-compiled", "alerts": "streaks-compiled-alerts",
}  # fmt: skip

Progress = Callable[[int, int], None]


def needed(purpose: Purpose = "frames") -> bool:
    """Whether the next search, or the next filter of alerts, would have to compile first.

    Parameters
    ----------
    purpose
        ``frames`` or ``alerts``.

    Returns
    -------
    bool
        False once `warm_up` has run for this version of program, Numba, Python and processor.
    """
    try:
        return _stamp_path(purpose).read_text(encoding="ascii") != _fingerprint(purpose)
    except OSError:
        return True


def warm_up(progress: Progress | None = None, purpose: Purpose = "frames") -> bool:
    """Compile all kernels of a frame's search, or of a filter of alerts, in two processes.

    Parameters
    ----------
    progress
        Called with how many kernels are done, and how many there are.
    purpose
        ``frames`` or ``alerts``.

    Returns
    -------
    bool
        False where a process failed: the next search then compiles what is missing.
    """
    total = _count_kernels(purpose)
    counter = _Counter(progress, total)
    counter.add(0)
    processes = [_start(half) for half in _HALVES[purpose]]
    readers = [threading.Thread(target=_follow, args=(p, counter)) for p in processes]
    try:
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        codes = [process.wait() for process in processes]
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.wait()
    if any(codes):
        _log.warning("kernels could not be compiled ahead; they will be when they are called")
        return False
    counter.finish()
    _write_stamp(purpose)
    return True


class _Counter:
    """Kernels done by both processes."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0
        self._lock = threading.Lock()

    def add(self, n: int) -> None:
        with self._lock:
            self._done = min(self._done + n, self._total)
            if self._progress is not None:
                self._progress(self._done, self._total)

    def finish(self) -> None:
        self.add(self._total)


def _start(half: str) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(_ROOT.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, "-m", "streaks.compiling", half],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


def _follow(process: subprocess.Popen[str], counter: _Counter) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(_DONE):
            counter.add(1)


def _kernel_files(purpose: Purpose = "frames") -> list[Path]:
    return sorted(path for pattern in _KERNELS[purpose] for path in _ROOT.glob(pattern))


def _count_kernels(purpose: Purpose) -> int:
    text = (path.read_text(encoding="utf-8") for path in _kernel_files(purpose))
    return sum(len(re.findall(r"^@(?:numba\.)?njit", one, flags=re.MULTILINE)) for one in text)


def _fingerprint(purpose: Purpose) -> str:
    """What compiled kernels depend on: sources as Numba sees them, versions, processor."""
    digest = hashlib.sha256()
    for path in _kernel_files(purpose):
        status = path.stat()
        digest.update(f"{path} {status.st_size} {status.st_mtime}\n".encode())
    versions = [importlib.metadata.version(name) for name in ("numba", "llvmlite", "numpy")]
    digest.update(repr((versions, sys.version, platform.machine(), _processor())).encode())
    return digest.hexdigest()


def _processor() -> str:
    """Model and abilities of the processor, as far as the system says."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
    except OSError:
        return platform.processor()
    wanted = (line for line in text.splitlines() if line.startswith(("model name", "flags")))
    return "\n".join(sorted(set(wanted)))


def _stamp_path(purpose: Purpose) -> Path:
    """Beside Numba's own cache: where it is told to be, in the package, or with the user's."""
    given, name = os.environ.get("NUMBA_CACHE_DIR"), _STAMPS[purpose]
    if given:
        return Path(given) / name
    if os.access(_ROOT, os.W_OK):
        return _ROOT / "__pycache__" / name
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "streaks" / name


def _write_stamp(purpose: Purpose) -> None:
    path = _stamp_path(purpose)
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(_fingerprint(purpose), encoding="ascii")
        os.replace(beside, path)
    except OSError as error:
        _log.info("cannot note that kernels are compiled: %s", error)


# In the processes


def _compile(half: str) -> None:
    import cv2

    cv2.setNumThreads(1)
    _report_kernels()
    {
        "lines": _compile_lines, "sky": _compile_sky,
        "stamps": _compile_stamps, "features": _compile_features_and_orbits,
    }[half]()  # fmt: skip


def _report_kernels() -> None:
    """Write a line for each kernel that is done."""
    from numba.core import event

    def say(_: Any, compiled: Any) -> None:
        function = compiled.data["dispatcher"].py_func
        if function.__module__.startswith("streaks."):
            sys.stdout.write(f"{_DONE}{function.__module__}.{function.__qualname__}\n")
            sys.stdout.flush()

    kind = type("Listener", (event.Listener,), {"on_start": lambda *_: None, "on_end": say})
    event.register("numba:compile", kind())


def _compile_lines() -> None:
    """Reading, transform, refinement, fit, judgement and pictures, of a small image."""
    import numpy as np

    from streaks.config import DetectionConfig
    from streaks.detection.finder import search_image
    from streaks.detection.image import prepare_image
    from streaks.frame import Frame

    z = _small_image(noise=1.0)
    y, x = np.indices((25, 25)) - 12.0
    psf = np.exp(-(x**2 + y**2) / (2.0 * 1.1**2))
    frame = Frame(data=z.copy(), mask=np.zeros(z.shape, bool), gain=1.0, psf=psf)
    noise: Any = _KnownNoise(z.shape)
    config = DetectionConfig()
    image = prepare_image(z, frame, noise, 1.1, config, negative=False)
    search_image(image, frame, noise, config)
    _compile_length()
    _read_and_draw()


def _read_and_draw() -> None:
    """A compressed file with a mask, and its overview."""
    import tempfile

    import numpy as np
    from astropy.io import fits

    from streaks.plotting import frame_overview
    from streaks.readers import read_frame
    from streaks.tables import empty_streaks

    data = _small_image(noise=10.0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "warm-up.fits.fz"
        image = fits.CompImageHDU(data, compression_type="RICE_1", quantize_level=4.0)
        fits.HDUList([fits.PrimaryHDU(), image]).writeto(path)
        mask = Path(folder) / "mask.fits"
        fits.PrimaryHDU(np.zeros(data.shape, np.uint16)).writeto(mask)
        frame = read_frame(path, mask=mask, profile="ztf")
    frame_overview(frame, empty_streaks(), max_px=200)


class _KnownNoise:
    """In place of a `NoiseMap`, so that this half need not compile what measures noise."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        import numpy as np

        self.unusable = np.zeros(shape, bool)
        self.unusable[200:205, 40:50] = True
        axis = np.array([0.0, 0.1, 1.0, 0.1, 0.0])
        self.correlation = axis[:, None] * axis[None, :]

    def typical_sigma(self) -> float:
        return 1.0

    def at(self, x: Any, y: Any) -> tuple[Any, Any]:
        import numpy as np

        return np.zeros(len(x), np.float32), np.ones(len(x), np.float32)


def _compile_sky() -> None:
    """Noise and features."""
    import numpy as np

    from streaks.cutouts import Cutouts
    from streaks.features import measure_features
    from streaks.noise import estimate_noise, standardise

    data = _small_image(noise=10.0)
    cutout = data[None, 36:164, 86:214]
    measure_features(Cutouts(cutout, np.zeros(cutout.shape, bool), ("warm-up",)))
    noise = estimate_noise(data, np.zeros(data.shape, bool))
    standardise(data, noise)
    places = np.arange(9)
    noise.at(places, places)
    noise.typical_sigma()


def _compile_length() -> None:
    """The second look at what may be a trail, with and without a known PSF."""
    import numpy as np

    from streaks.cutouts import Cutouts, measure_elongation

    data = np.ascontiguousarray(_small_image(noise=1.0)[None, 36:164, 86:214])
    for fwhm_px in (None, np.array([2.5])):
        mask = np.zeros(data.shape, bool)
        measure_elongation(Cutouts(data, mask, ("warm-up",), fwhm_px=fwhm_px))


def _compile_stamps() -> None:
    """All that is measured on a stamp, but features."""
    import numpy as np

    from streaks.cutouts import measure_shapes, psf_moments

    y, x = np.indices((25, 25)) - 12.0
    stamp = np.exp(-(x**2 + y**2) / 4.0).astype(np.float32) * 20.0
    stamp += np.random.default_rng(0).normal(0.0, 1.0, stamp.shape).astype(np.float32)
    psf_moments(stamp)
    measure_shapes([stamp, stamp], variances=[None, np.ones_like(stamp)])
    _compile_length()


def _compile_features_and_orbits() -> None:
    """Features, and known objects of a night."""
    import numpy as np
    from astropy.time import Time

    from streaks.cutouts import Cutouts
    from streaks.features import measure_features
    from streaks.known import Orbits
    from streaks.known.index import prepare_night

    cutout = _small_image(noise=10.0)[None, 36:164, 86:214]
    measure_features(Cutouts(cutout, np.zeros(cutout.shape, bool), ("warm-up",)))
    epoch, one = 2461000.5, np.ones(1)
    names = np.array(["1"])
    orbits = Orbits(
        designation=names, name=names, h_mag=10.0 * one, g_slope=0.15 * one,
        epoch_jd=epoch * one, q_au=2.5 * one, e=0.1 * one, incl_rad=0.1 * one,
        node_rad=one, argperi_rad=one, tp_jd=(epoch - 100.0) * one, uncertainty=0.0 * one,
    )  # fmt: skip
    time = Time(epoch + 1.3, format="jd", scale="tdb")
    night = prepare_night(orbits, time, "500")
    # All of the sky, so that the one is there.
    night.near(0.0, 0.0, 3600.0 * 179.0, time)


def _small_image(noise: float) -> Any:
    """Noise, a streak of S/N 50, a star, a sharp pixel: 320 x 331 px."""
    import numpy as np

    rng = np.random.default_rng(0)
    data = rng.normal(0.0, noise, (320, 331)).astype(np.float32)
    y, x = np.indices(data.shape)
    along = np.hypot(np.maximum(np.abs(x - 150.0) - 20.0, 0.0), y - 100.0)
    star = np.hypot(x - 250.0, y - 250.0)
    for distance, peak in ((along, 10.0), (star, 200.0)):
        data += (noise * peak * np.exp(-((distance / 1.1) ** 2) / 2)).astype(np.float32)
    data[60, 60] += np.float32(60.0 * noise)
    return data


def _main(arguments: Sequence[str]) -> None:
    """Compile one process's part; without a word, all that is needed."""
    if arguments:
        _compile(arguments[0])
        return
    for purpose in _KERNELS:
        if needed(purpose):
            warm_up(purpose=purpose)


if __name__ == "__main__":
    _main(sys.argv[1:])
