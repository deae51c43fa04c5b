"""Streaks as a HATS catalogue, which LSDB and other tools of large surveys open.

References
----------
IVOA note "HATS: a standard for the hierarchical adaptive tiling scheme in the Virtual Observatory"
(folders, ``hats.properties``, ``partition_info.csv``); checked with the package ``hats`` 0.11.
"""

from __future__ import annotations

import os
from pathlib import Path

from astropy.table import QTable

from streaks import __version__
from streaks.arrow import table_to_arrow
from streaks.disk import folder_written_whole
from streaks.errors import TableError
from streaks.store.healpix import pixels_at
from streaks.store.partition import ROW_GROUP, cut
from streaks.store.reading import PIXEL

__all__ = ["write_hats"]


def write_hats(rows: QTable, folder: str | os.PathLike[str], *, name: str = "") -> int:
    """Write streaks as a HATS catalogue, whole or not at all.

    Parameters
    ----------
    rows
        Of an answer, with ``ra`` and ``dec``; those without a place are left out.
    folder
        New or empty.
    name
        Of the catalogue; the folder's own where not given.

    Returns
    -------
    int
        Rows that were written.

    Raises
    ------
    TableError
        If the rows have no places on the sky.
    OutputError
        If the folder holds something, or cannot be written to.
    """
    missing = [one for one in ("ra", "dec") if one not in rows.colnames]
    if missing:
        raise TableError(f"a HATS catalogue needs {', '.join(missing)}: ask for these columns too")
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(folder)
    pixels = pixels_at(rows["ra"].value, rows["dec"].value)
    placed = pixels >= 0
    rows, pixels = rows[placed], pixels[placed]
    if not len(rows):
        raise TableError("no streak with a place on the sky: a HATS catalogue of none is none")
    table = table_to_arrow(rows)
    table = table.add_column(0, PIXEL, pa.array(pixels))
    with folder_written_whole(path) as part:
        partitions = []
        for order, pixel, of in cut(pixels):
            if order < 0:
                continue
            file = (part / "dataset" / f"Norder={order}" / f"Dir={pixel // 10_000 * 10_000}"
                    / f"Npix={pixel}.parquet")  # fmt: skip
            file.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table.take(of), file, row_group_size=ROW_GROUP)
            partitions.append((order, pixel))
        pq.write_metadata(table.schema, part / "dataset" / "_common_metadata")
        lines = ["Norder,Npix", *(f"{order},{pixel}" for order, pixel in sorted(partitions))]
        (part / "partition_info.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        told = _properties(name or path.name.removesuffix(".hats"), len(rows), partitions)
        (part / "hats.properties").write_text(told, encoding="utf-8")
    return len(rows)


def _properties(name: str, n_rows: int, partitions: list[tuple[int, int]]) -> str:
    told = {
        "obs_collection": name,
        "dataproduct_type": "source",
        "hats_nrows": n_rows,
        "hats_col_ra": "ra",
        "hats_col_dec": "dec",
        "hats_col_healpix": PIXEL,
        "hats_col_healpix_order": 29,
        "hats_npix_suffix": ".parquet",
        "hats_order": max(order for order, _ in partitions),
        "hats_builder": f"streaks {__version__}",
        "hats_version": "v1.0",
    }
    return "".join(f"{key}={_plain(value)}\n" for key, value in told.items())


def _plain(value: object) -> str:
    """One line without escapes: a name may hold anything."""
    return "".join(c if c.isalnum() or c in " ._+-" else "_" for c in str(value))
