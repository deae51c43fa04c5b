"""Labelled sets of cutouts on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.classification import parse_mix
from streaks.cutouts import Cutouts
from streaks.disk import folder_written_whole, load_arrays
from streaks.errors import ReadError
from streaks.synth.cutout_sets.making import iter_cutouts, iter_pictures, truth_table
from streaks.synth.provenance import write_json

__all__ = ["load_set", "write_pictures", "write_set"]

#: Cutouts in one file: 128 px float and mask make 80 MB before compression.
_SHARD = 1000
_TRUTH = "truth.ecsv"
_PROVENANCE = "provenance.json"


def write_set(
    out_dir: str | Path,
    n: int,
    *,
    seed: int,
    mix: str | Mapping[str, float] | None = None,
    size_px: int = 128,
    rendering: str = "mixed",
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Make a labelled set of cutouts and write it, shard by shard.

    Parameters
    ----------
    out_dir
        New or empty; appears once all is written.
    n, seed, mix, size_px, rendering, workers, progress
        As `make_cutouts`.

    Returns
    -------
    Path
        The folder: ``cutouts-00000.npz``..., ``truth.ecsv``, ``provenance.json``.

    Raises
    ------
    ConfigError
        As `make_cutouts`.
    InputError
        If the folder is in use or cannot be written.
    """
    from streaks import __version__

    shares = parse_mix(mix)
    cutouts = iter_cutouts(
        n,
        seed=seed,
        mix=shares,
        size_px=size_px,
        rendering=rendering,
        workers=workers,
        progress=progress,
    )
    with folder_written_whole(out_dir) as stage:
        rows: list[Mapping[str, Any]] = []
        for number, shard in enumerate(_in_shards(cutouts, _SHARD)):
            np.savez_compressed(
                stage / f"cutouts-{number:05d}.npz",
                difference=np.stack([one.difference for one in shard]),
                mask=np.stack([one.mask for one in shard]),
                names=np.array([str(one.truth["streak_id"]) for one in shard]),
            )
            rows.extend(one.truth for one in shard)
        truth_table(rows).write(stage / _TRUTH, format="ascii.ecsv")
        write_json(
            stage / _PROVENANCE,
            {
                "kind": "streaks synthetic cutouts",
                "version": __version__,
                "n": n,
                "seed": seed,
                "size_px": size_px,
                "rendering": rendering,
                "mix": dict(shares),
            },
        )
    return Path(out_dir)


def write_pictures(
    out_dir: str | Path,
    n: int,
    *,
    seed: int,
    mix: str | Mapping[str, float] | None = None,
    size_px: int = 157,
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
    doubtful: bool = False,
) -> Path:
    """Make labelled cutouts and write them as ZTF stores its streaks: one JPEG each.

    Parameters
    ----------
    out_dir
        New or empty; appears once all is written.
    n, seed, mix, size_px, workers, progress, doubtful
        As `make_cutouts`.

    Returns
    -------
    Path
        The folder: ``jpg/<streak_id>``, ``truth.ecsv``, ``provenance.json``.

    Raises
    ------
    ConfigError
        As `make_cutouts`.
    InputError
        If the folder is in use or cannot be written.
    """
    from streaks import __version__

    shares = parse_mix(mix)
    pictures = iter_pictures(
        n, seed=seed, mix=shares, size_px=size_px, workers=workers, progress=progress,
        doubtful=doubtful,
    )  # fmt: skip
    with folder_written_whole(out_dir) as stage:
        rows: list[Mapping[str, Any]] = []
        (stage / "jpg").mkdir()
        for coded, row in pictures:
            (stage / "jpg" / f"{row['streak_id']}").write_bytes(coded)
            rows.append(row)
        truth_table(rows).write(stage / _TRUTH, format="ascii.ecsv")
        made = {
            "n": n,
            "seed": seed,
            "size_px": size_px,
            "rendering": "picture",
            "mix": dict(shares),
        }
        made["doubtful"] = doubtful
        kind = {"kind": "streaks synthetic pictures", "version": __version__}
        write_json(stage / _PROVENANCE, {**kind, **made})
    return Path(out_dir)


def _in_shards(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    shard: list[Any] = []
    for item in items:
        shard.append(item)
        if len(shard) == size:
            yield shard
            shard = []
    if shard:
        yield shard


def load_set(folder: str | Path) -> tuple[Cutouts, QTable]:
    """A set that `write_set` wrote.

    Parameters
    ----------
    folder
        With ``cutouts-*.npz`` and ``truth.ecsv``.

    Returns
    -------
    cutouts : Cutouts
    truth : QTable
        In the order of the cutouts.

    Raises
    ------
    ReadError
        If files are missing or damaged, or truth and cutouts do not belong together.
    """
    folder = Path(folder)
    shards = sorted(folder.glob("cutouts-*.npz"))
    if not shards or not (folder / _TRUTH).is_file():
        raise ReadError(
            f"{folder} holds no set of cutouts (expected cutouts-*.npz and {_TRUTH}); "
            "make one with `streaks synth cutouts`"
        )
    parts = [_load_shard(path) for path in shards]
    cutouts = Cutouts(
        np.concatenate([p["difference"] for p in parts]),
        np.concatenate([p["mask"] for p in parts]),
        tuple(str(name) for p in parts for name in p["names"]),
    )
    truth = QTable.read(folder / _TRUTH, format="ascii.ecsv")
    if tuple(truth["streak_id"]) != cutouts.names:
        raise ReadError(
            f"{folder}: {_TRUTH} has {len(truth)} rows that do not name the {len(cutouts)} "
            "cutouts in order; a shard is missing or foreign, make the set again"
        )
    return cutouts, truth


def _load_shard(path: Path) -> dict[str, NDArray[Any]]:
    names = ("difference", "mask", "names")
    try:
        arrays = load_arrays(path, names)
    except ReadError as error:
        raise ReadError(f"{path} is no shard of cutouts ({error}); make the set again") from None
    if missing := [name for name in names if name not in arrays]:
        raise ReadError(
            f"{path} is no shard of cutouts (no {', '.join(missing)}); make the set again"
        )
    return arrays
