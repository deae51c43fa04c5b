"""One file of a store, read: what is damaged is named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from streaks.disk import open_regular
from streaks.errors import ReadError
from streaks.store.layout import StoreFile, StoreFolder

if TYPE_CHECKING:
    import pyarrow

__all__ = ["NIGHT", "PIXEL", "read_file"]

#: Added on the way out: the folder's name tells it, to us as to other readers of Parquet.
NIGHT = "night"
#: Nested HEALPix number of order 29, under the name that HATS catalogues give it.
PIXEL = "_healpix_29"


def read_file(
    store: StoreFolder,
    file: StoreFile,
    columns: Sequence[str] | None = None,
    ranges: Sequence[tuple[int, int]] = (),
) -> pyarrow.Table:
    """The rows of one file, its pages checked against their checksums.

    Parameters
    ----------
    store, file
        Where it lies.
    columns
        That are wanted, those of them that it has; all where not given.
    ranges
        Of pixels: other rows may be left out, and are not read where whole row groups are beyond.

    Returns
    -------
    pyarrow.Table

    Raises
    ------
    ReadError
        If it is missing or damaged.
    """
    import pyarrow as pa
    import pyarrow.dataset as ds
    import pyarrow.parquet as pq

    path = store.open_path(file)
    checked = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
    try:
        with open_regular(path) as opened:
            schema = pq.read_schema(opened)
        data = ds.FileSystemDataset.from_paths(
            [str(path)], schema=schema, filesystem=_local(),
            format=ds.ParquetFileFormat(default_fragment_scan_options=checked),
        )  # fmt: skip
        names = schema.names if columns is None else [c for c in columns if c in schema.names]
        table = data.to_table(columns=names, filter=_within(ranges), use_threads=False)
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise ReadError(
            f"{path} is damaged ({reason}); add its night again from its folder"
        ) from None
    return table


def _local() -> Any:
    from pyarrow.fs import LocalFileSystem

    return LocalFileSystem()


def _within(ranges: Sequence[tuple[int, int]]) -> Any:
    import pyarrow.dataset as ds

    found = None
    for first, end in ranges:
        one = (ds.field(PIXEL) >= first) & (ds.field(PIXEL) < end)
        found = one if found is None else found | one
    return found
