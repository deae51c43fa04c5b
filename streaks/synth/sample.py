"""The small simulated night that comes with the package."""

from __future__ import annotations

import shutil
from importlib import resources
from pathlib import Path

from streaks.disk import folder_written_whole

__all__ = ["write_sample"]


def write_sample(folder: str | Path) -> list[Path]:
    """Write the sample night: three exposures of one field, and what belongs to them.

    It was made by `benchmarks/sample_night.py`, from `make_night` with a fixed seed.

    Parameters
    ----------
    folder
        New or empty; appears once all is written.

    Returns
    -------
    list of Path
        The files, sorted: under ZTF's names three difference images, their masks and science
        images, and a reference; ``orbits.dat`` (MPCORB columns), ``alerts.avro``, ``truth.ecsv``
        (asteroids and satellites) and ``clutter.ecsv`` (the other things put in).

    Raises
    ------
    OutputError
        If the folder holds something, or cannot be written.
    """
    source = resources.files("streaks.synth") / "sample_night"
    with folder_written_whole(folder) as stage:
        for file in source.iterdir():
            if file.is_file():
                with file.open("rb") as read, (stage / file.name).open("wb") as written:
                    shutil.copyfileobj(read, written)
    return sorted(Path(folder).iterdir())
