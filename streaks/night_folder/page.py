"""The night's page from its folder: pictures are made when the page asks for them."""

from __future__ import annotations

import logging
import math
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from importlib import metadata
from pathlib import Path

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.completeness import match_truth
from streaks.cutouts import Cutouts, extract_cutouts
from streaks.errors import FrameError, StreaksError, TableError
from streaks.night_folder.ledger import plain_text
from streaks.night_folder.reading import Night
from streaks.reporting import NightSummary, PagePictures, select_rows, write_report
from streaks.tables import bare_column

__all__ = ["summarise", "write_night_report"]

_log = logging.getLogger(__name__)

#: What JPEG and PNG files begin with.
_PICTURES = (b"\xff\xd8", b"\x89PNG")
_MAX_MISSED = 200
_MAX_ROWS = 20_000


def write_night_report(
    night: Night,
    *,
    truth: QTable | None = None,
    seconds: float = math.nan,
    command: str = "",
    path: Path | None = None,
) -> Path:
    """Write the page of a night that is done.

    Parameters
    ----------
    night
        Of `read_night`. Cutouts and overviews that are missing are shown as missing.
    truth
        True streaks, with ``streak_id, image, x0, y0, x1, y1``, to set beside what was found.
        Pictures of missed ones come from the frames, where these are still in their place.
    seconds
        Wall-clock time of the run; the sum over frames where not given.
    command
        What made the night.
    path
        Where to write; the night's own place where not given.

    Returns
    -------
    Path
        Where the page is.

    Raises
    ------
    TableError
        When the truth lacks a column.
    """
    path = night.folder.report if path is None else path
    found = None
    if truth is not None:
        _check_truth(truth)
        found = match_truth(night.streaks, truth)
    write_report(
        path,
        summarise(night, seconds=seconds, command=command),
        night.streaks,
        night.frames,
        pictures=_pictures(night, truth, found),
        max_rows=_MAX_ROWS,
        tracklets=night.tracklets,
        truth=truth,
        found=found,
    )
    return path


def _title(name: str) -> str:
    """What a page is called; a folder that is itself called night is not said twice."""
    return "Night" if name.lower() == "night" else f"Night {name}"


def summarise(night: Night, *, seconds: float = math.nan, command: str = "") -> NightSummary:
    """What a finished night says of itself at the top of its page.

    Parameters
    ----------
    night
        Of `read_night`.
    seconds
        How long the run took. NaN takes the sum over frames, longer than the run where several
        processes shared it.
    command
        What was typed; empty for none.

    Returns
    -------
    NightSummary
        With empty words for what the run did not note of itself.
    """
    run = night.run
    settings = run.get("settings")
    if not math.isfinite(seconds) and "seconds" in night.frames.colnames:
        seconds = float(np.nansum(bare_column(night.frames, "seconds")))
    return NightSummary(
        title=_title(plain_text(night.name)),
        started=str(run.get("started", "")).split("+")[0],
        seconds=seconds,
        classifier=str(run.get("classifier", "")),
        # The catalogue's name is followed by the hash of its content.
        orbits=str(run.get("orbits", "")).rsplit(" ", 1)[0],
        settings=settings if isinstance(settings, Mapping) else {},
        versions={"streaks": str(run.get("version", ""))} | _library_versions(),
        command=plain_text(command),
    )


def _library_versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in ("numpy", "astropy", "opencv-python-headless", "numba", "onnxruntime"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def _check_truth(truth: QTable) -> None:
    needed = ("streak_id", "image", "x0", "y0", "x1", "y1")
    missing = [name for name in needed if name not in truth.colnames]
    if missing:
        raise TableError(
            f"the truth lacks the columns {', '.join(missing)}; give a table as "
            "`streaks synth night` writes it"
        )


def _pictures(night: Night, truth: QTable | None, found: NDArray[np.int64] | None) -> PagePictures:
    rows = {str(name): i for i, name in enumerate(night.streaks["streak_id"])}
    shown = {str(night.streaks["streak_id"][i]) for i in select_rows(night.streaks, _MAX_ROWS)}
    missed = {}
    if truth is not None and found is not None:
        missed = _draw_missed(truth, _missed(truth, found), night.frames)
    return PagePictures(
        cutouts=_MadeWhenAsked(rows, _SmallPictures(night, shown).draw),
        panels=_MadeWhenAsked(rows, lambda name: _draw_panel(night, rows[name])),
        overviews=_MadeWhenAsked(
            [
                str(name)
                for name in night.frames["image"]
                if night.folder.overview(str(name)).is_file()
            ],
            lambda name: _draw_overview(night, name, truth),
        ),
        missed=missed,
    )


class _SmallPictures:
    """Cutouts as small pictures, all of a frame that the page shows when one of it is asked for.

    The page asks in the order of scores, which goes from file to file; pictures that are drawn
    take a hundredth of the memory of what they are drawn from.
    """

    def __init__(self, night: Night, shown: Set[str]) -> None:
        self._night, self._shown = night, shown
        self._images = {
            str(name): str(image)
            for name, image in zip(night.streaks["streak_id"], night.streaks["image"], strict=True)
        }
        self._drawn: dict[str, bytes] = {}

    def draw(self, name: str) -> bytes:
        if name not in self._drawn:
            self._drawn[name] = b""
            self._draw_all(self._images[name], self._shown | {name})
        return self._drawn[name]

    def _draw_all(self, image: str, names: Set[str]) -> None:
        from streaks.plotting import cutout_picture, encode_jpeg

        stack = _stack(self._night, image, beside=False)
        for i, name in enumerate(() if stack is None else stack.names):
            if stack is not None and name in names:
                picture = cutout_picture(stack.difference[i], stack.mask[i])
                self._drawn[name] = encode_jpeg(picture, quality=80)


def _stack(night: Night, image: str, *, beside: bool) -> Cutouts | None:
    try:
        return night.cutouts(image, beside=beside)
    except StreaksError as error:
        _log.warning("no cutouts of %s: %s", image, error)
        return None


class _MadeWhenAsked(Mapping[str, bytes]):
    """Pictures by name, each drawn when it is looked up; one that fails is empty."""

    def __init__(self, names: Iterable[str], draw: Callable[[str], bytes]) -> None:
        self._names = dict.fromkeys(names)
        self._draw = draw

    def __getitem__(self, name: str) -> bytes:
        if name not in self._names:
            raise KeyError(name)
        return self._draw(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names


def _draw_panel(night: Night, row: int) -> bytes:
    from streaks.plotting import cutout_segment, encode_jpeg, triplet_panel

    streak = night.streaks[row]
    name = str(streak["streak_id"])
    stack = _stack(night, str(streak["image"]), beside=True)
    if stack is None or name not in stack.names:
        return b""
    i = stack.names.index(name)
    panel = triplet_panel(
        None if stack.science is None else stack.science[i],
        None if stack.reference is None else stack.reference[i],
        stack.difference[i],
        stack.mask[i],
        ends=cutout_segment(streak, stack.size_px),
    )
    return encode_jpeg(panel, quality=90)


def _draw_overview(night: Night, image: str, truth: QTable | None) -> bytes:
    """As its frame left it, which is as large as the page wants it; with the truth if there is."""
    try:
        encoded = night.overview(image) or b""
        if not encoded.startswith(_PICTURES):
            raise FrameError(f"{len(encoded)} bytes are no JPEG or PNG picture")
        return encoded if truth is None else _with_truth(encoded, night.frames, image, truth)
    except (OSError, StreaksError) as error:
        _log.warning("no overview of %s: %s", image, error)
        return b""


def _with_truth(encoded: bytes, frames: QTable, image: str, truth: QTable) -> bytes:
    from streaks.plotting import decode_picture, encode_jpeg, mark_truth

    row = [str(name) for name in frames["image"]].index(image)
    ny, nx = (bare_column(frames, name)[row] for name in ("ny", "nx"))
    shape = int(ny), int(nx)
    marked = mark_truth(decode_picture(encoded), truth[_of_image(truth, image)], shape)
    return encode_jpeg(marked, quality=85)


def _of_image(table: QTable, image: str) -> NDArray[np.bool_]:
    return np.array([str(name) == image for name in table["image"]], dtype=bool)


def _missed(truth: QTable, found: NDArray[np.int64]) -> list[int]:
    """Rows of the true streaks that have ends and were not found."""
    ends = np.array([bare_column(truth, name) for name in ("x0", "y0", "x1", "y1")])
    return [int(i) for i in np.flatnonzero((found < 0) & np.isfinite(ends).all(axis=0))]


def _draw_missed(truth: QTable, missed: list[int], frames: QTable) -> dict[str, bytes]:
    """Cutouts of missed true streaks, from the frames where these can still be read."""
    if "path" not in frames.colnames:
        return {}
    paths = {str(row["image"]): str(row["path"]) for row in frames if str(row["path"])}
    by_image: dict[str, list[int]] = {}
    for i in missed[:_MAX_MISSED]:
        by_image.setdefault(str(truth["image"][i]), []).append(i)
    pictures: dict[str, bytes] = {}
    for image, rows in by_image.items():
        if image in paths and Path(paths[image]).is_file():
            pictures |= _draw_from_frame(truth[rows], paths[image])
    return pictures


def _draw_from_frame(truth: QTable, path: str) -> dict[str, bytes]:
    import astropy.units as u

    from streaks.plotting import cutout_picture, cutout_segment, encode_jpeg
    from streaks.readers import read_frame

    try:
        frame = read_frame(path)
    except StreaksError:
        return {}
    centred = truth.copy()
    for axis in "xy":
        middle = (bare_column(truth, f"{axis}0") + bare_column(truth, f"{axis}1")) / 2
        centred[axis] = u.Quantity(middle, "pix")
    stack = extract_cutouts(frame, centred)
    return {
        name: encode_jpeg(
            cutout_picture(
                stack.difference[i],
                stack.mask[i],
                panel_px=2 * stack.size_px,
                ends=cutout_segment(centred[i], stack.size_px),
            )
        )
        for i, name in enumerate(stack.names)
    }
