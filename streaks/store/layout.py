"""Where a store's files lie, and which of them count.

::

    STORE/
        store.json                                  what this folder is, and its version
        nights/NIGHT.json                           a night's manifest: the files that count
        streaks/night=NIGHT/ORDER-PIXEL-MARK.parquet   its streaks in a pixel of the sky
        frames/night=NIGHT/MARK.parquet
        tracklets/night=NIGHT/MARK.parquet

A night is in the store from the moment that its manifest has its name, and not before: files that
no manifest names do not count, and are swept away when that night is added again.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from streaks.disk import Limits, parse_json, read_bytes, written_whole
from streaks.errors import OutputError, ReadError
from streaks.store.healpix import DEEPEST, pixel_range

__all__ = [
    "STORE_VERSION",
    "Manifest",
    "NewerStoreError",
    "StoreFile",
    "StoreFolder",
    "held_store",
]

#: Grows when files of a store change their meaning; what is newer is refused.
STORE_VERSION = 1
#: A night of ten million streaks has a manifest of less.
_LIMITS = Limits(max_bytes=1 << 26)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,120}")
#: Kinds of columns, as Arrow names them, that tables have.
_KINDS = frozenset(
    ("string", "bool", "float", "double", "halffloat",
     *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))
)  # fmt: skip
#: What a store itself calls its files: nothing else is ever swept away.
_OURS = re.compile(r"\.?(\d{1,2}-\d+-|none-)?[0-9a-f]{12}(-[a-z0-9_]{8})?\.parquet")


class NewerStoreError(ReadError):
    """Files that a newer version wrote; they are left as they are."""


@dataclass(frozen=True)
class StoreFile:
    """A Parquet file of a night.

    Parameters
    ----------
    path
        Within the store.
    size
        Bytes.
    rows
        In it.
    order, pixel
        Nested HEALPix pixel that holds all rows; -1 for what has no place on the sky, and for
        tables without one.
    """

    path: str
    size: int
    rows: int
    order: int = -1
    pixel: int = -1

    def overlaps(self, ranges: Sequence[tuple[int, int]]) -> bool:
        """Whether any row may lie in ranges of pixels.

        Parameters
        ----------
        ranges
            As `streaks.store.healpix.cone_ranges` gives them.

        Returns
        -------
        bool
        """
        if self.order < 0:
            return False
        first, end = pixel_range(self.order, self.pixel)
        return any(a < end and first < b for a, b in ranges)


@dataclass(frozen=True)
class Manifest:
    """What a store holds of a night.

    Parameters
    ----------
    night
        Its name.
    streaks
        Files of its streaks.
    frames, tracklets
        One file each.
    columns
        Kind of each column of its streaks, as Arrow names it.
    sources
        Folders that it came from, in the order of adding.
    added
        When, UTC, ISO 8601.
    made_by
        Versions of this package that searched its frames.
    """

    night: str
    streaks: tuple[StoreFile, ...]
    frames: StoreFile
    tracklets: StoreFile
    columns: Mapping[str, str]
    sources: tuple[str, ...] = ()
    added: str = ""
    made_by: tuple[str, ...] = field(default=())

    @property
    def n_streaks(self) -> int:
        """Rows of all its files."""
        return sum(file.rows for file in self.streaks)

    @property
    def files(self) -> tuple[StoreFile, ...]:
        """All its files."""
        return (*self.streaks, self.frames, self.tracklets)


@dataclass(frozen=True)
class StoreFolder:
    """A store on disk.

    Parameters
    ----------
    root
        Its folder.
    """

    root: Path

    @property
    def mark(self) -> Path:
        """Says that the folder is a store's."""
        return self.root / "store.json"

    @property
    def lock(self) -> Path:
        """Held by who adds."""
        return self.root / ".lock"

    @property
    def nights_folder(self) -> Path:
        """Of the manifests."""
        return self.root / "nights"

    def manifest_path(self, night: str) -> Path:
        """Where the manifest of a night lies.

        Parameters
        ----------
        night
            Its name.

        Returns
        -------
        Path
        """
        return self.nights_folder / f"{night}.json"

    def table_folder(self, table: str, night: str) -> Path:
        """Where a night's files of one table lie.

        Parameters
        ----------
        table
            ``streaks``, ``frames`` or ``tracklets``.
        night
            Its name.

        Returns
        -------
        Path
        """
        return self.root / table / f"night={night}"

    def nights(self) -> list[str]:
        """Names of all nights, in order; their manifests are not opened.

        Returns
        -------
        list of str

        Raises
        ------
        ReadError
            If this is no store, or one of a newer version.
        """
        self.check()
        if not self.nights_folder.is_dir():
            return []
        names = (path.name for path in self.nights_folder.iterdir())
        return sorted(
            name[:-5] for name in names if name.endswith(".json") and _NAME.fullmatch(name[:-5])
        )

    def check(self) -> None:
        """Refuse what is no store of this version.

        Raises
        ------
        ReadError
            If this is no store, or one of a newer version.
        """
        if not self.mark.is_file():
            raise ReadError(f"{self.root} is no store; make one with `streaks store add`")
        about = parse_json(read_bytes(self.mark, _LIMITS), str(self.mark))
        _check_version(about, self.mark)

    def manifest(self, night: str) -> Manifest:
        """What the store holds of a night.

        Parameters
        ----------
        night
            Its name.

        Returns
        -------
        Manifest

        Raises
        ------
        ReadError
            If the manifest is missing, damaged or of a newer version.
        """
        path = self.manifest_path(night)
        told = parse_json(read_bytes(path, _LIMITS), str(path))
        _check_version(told, path)
        try:
            return Manifest(
                night=night,
                streaks=tuple(_file_of(one) for one in told["streaks"]),
                frames=_file_of(told["frames"]),
                tracklets=_file_of(told["tracklets"]),
                columns={str(name): _kind(kind) for name, kind in told["columns"].items()},
                sources=tuple(map(str, told["sources"])),
                added=str(told["added"]),
                made_by=tuple(map(str, told["made_by"])),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ReadError(
                f"{path} is damaged ({error!r:.100}); add the night again from its folder"
            ) from None

    def write_manifest(self, manifest: Manifest) -> None:
        """Let a night's files count; those of an earlier manifest of it do not any more.

        Parameters
        ----------
        manifest
            Of the night; its files are on the disk.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        told = {"streaks_store": STORE_VERSION, **asdict(manifest)}
        with written_whole(self.manifest_path(manifest.night)) as part:
            part.write_text(json.dumps(told) + "\n", encoding="utf-8")

    def open_path(self, file: StoreFile) -> Path:
        """The path of a file that is as long as it was.

        Parameters
        ----------
        file
            Of a manifest.

        Returns
        -------
        Path

        Raises
        ------
        ReadError
            If it is missing or of another length.
        """
        path = self.root / file.path
        try:
            size = path.stat().st_size
        except OSError as error:
            raise ReadError(
                f"{path} is missing ({error.strerror}); add its night again from its folder"
            ) from None
        if size != file.size:
            raise ReadError(
                f"{path} is damaged: it has {size} bytes and had {file.size}; add its night again "
                "from its folder"
            )
        return path

    def sweep(self, night: str, counting: Sequence[StoreFile]) -> None:
        """Remove files that an add of this night left when it was killed, or that were replaced.

        Parameters
        ----------
        night
            Its name.
        counting
            Files that stay.
        """
        stay = {self.root / file.path for file in counting}
        for table in ("streaks", "frames", "tracklets"):
            folder = self.table_folder(table, night)
            for path in folder.glob("*.parquet") if folder.is_dir() else ():
                if path not in stay and _OURS.fullmatch(path.name):
                    path.unlink(missing_ok=True)


@contextmanager
def held_store(root: str | os.PathLike[str]) -> Iterator[StoreFolder]:
    """A store that nobody else adds to meanwhile; it is made where there is none.

    Who comes second waits. The lock goes with its process, however that ends.

    Parameters
    ----------
    root
        Of the store.

    Yields
    ------
    StoreFolder

    Raises
    ------
    OutputError
        If the folder holds something else, or cannot be written to.
    ReadError
        If it is a store of a newer version.
    """
    folder = StoreFolder(Path(root))
    _check_empty(folder)
    try:
        folder.root.mkdir(parents=True, exist_ok=True)
        handle = folder.lock.open("a")
    except OSError as error:
        raise OutputError(f"cannot write to {folder.root}: {error.strerror or error}") from None
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not folder.mark.is_file():
            with written_whole(folder.mark) as part:
                part.write_text(json.dumps({"streaks_store": STORE_VERSION}) + "\n", "utf-8")
        folder.check()
        yield folder


def _check_empty(folder: StoreFolder) -> None:
    """Refuse a folder that holds something and is no store."""
    if folder.mark.is_file() or not os.path.lexists(folder.root):
        return
    if not folder.root.is_dir():
        raise OutputError(f"{folder.root} is no folder; give another name for the store")
    # A store whose first add was killed has a lock, and perhaps half of its mark.
    foreign = [
        path.name
        for path in folder.root.iterdir()
        if path != folder.lock and not re.fullmatch(r"\.store-[a-z0-9_]{8}\.json", path.name)
    ]
    if foreign and not folder.mark.is_file():
        raise OutputError(
            f"{folder.root} is no store and holds {sorted(foreign)[0]}; give a new folder"
        )


def _check_version(told: Any, path: Path) -> None:
    version = told.get("streaks_store") if isinstance(told, dict) else None
    if not isinstance(version, int):
        raise ReadError(f"{path} is damaged, or of no store; add its nights again to a new one")
    if version > STORE_VERSION:
        raise NewerStoreError(
            f"{path} is of version {version} of the store, this program knows up to "
            f"{STORE_VERSION}; install a newer version of streaks"
        )


def _file_of(told: Mapping[str, Any]) -> StoreFile:
    file = StoreFile(
        str(told["path"]),
        *(int(told[name]) for name in ("size", "rows", "order", "pixel")),
    )
    if file.path.startswith("/") or ".." in Path(file.path).parts:
        raise ValueError(f"a path out of the store: {file.path}")
    is_pixel = 0 <= file.order <= DEEPEST and 0 <= file.pixel < 12 * 4**file.order
    if min(file.size, file.rows) < 0 or not (is_pixel or (file.order, file.pixel) == (-1, -1)):
        raise ValueError(f"sizes or a pixel that there are not: {file.path}")
    return file


def _kind(told: Any) -> str:
    if told not in _KINDS:
        raise ValueError(f"a column of {told!r}")
    return str(told)
