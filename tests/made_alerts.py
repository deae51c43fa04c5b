"""Alert packets made by the tests: points, trails and nothing, of ZTF's and Rubin's kind."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
from numpy.typing import NDArray

from streaks.classification import OUTPUTS
from streaks.cutouts import Cutouts
from tests.rendering import add_trail, flux_for_snr

ZTF_SCHEMA: dict[str, Any] = {
    "type": "record", "name": "alert", "namespace": "ztf", "fields": [
        {"name": "schemavsn", "type": "string"},
        {"name": "objectId", "type": "string"},
        {"name": "candid", "type": "long"},
        {"name": "candidate", "type": {"type": "record", "name": "candidate", "fields": [
            *({"name": n, "type": "double"} for n in ("jd", "ra", "dec", "magpsf", "sigmapsf")),
            {"name": "isdiffpos", "type": "string"},
            {"name": "fid", "type": "int"},
            *({"name": n, "type": ["null", "double"], "default": None}
              for n in ("ssdistnr", "ssmagnr", "sgscore1", "rb", "xpos", "ypos")),
            *({"name": n, "type": ["null", "string"], "default": None}
              for n in ("ssnamenr", "pdiffimfilename")),
        ]}},
        {"name": "cutoutDifference", "type": ["null", {
            "type": "record", "name": "cutout", "fields": [
                {"name": "fileName", "type": "string"}, {"name": "stampData", "type": "bytes"},
            ]}], "default": None},
    ],
}  # fmt: skip


def stamp_bytes(image: NDArray[Any]) -> bytes:
    """Gzipped FITS as ZTF writes it."""
    ny, nx = image.shape
    cards = ["SIMPLE  =  T", "BITPIX  =                  -32", "NAXIS   =                    2",
             f"NAXIS1  = {nx:20d}", f"NAXIS2  = {ny:20d}", "END"]  # fmt: skip
    header = "".join(f"{card:<80}" for card in cards).ljust(2880).encode()
    data = image.astype(">f4").tobytes()
    return gzip.compress(header + data + b"\0" * (-len(data) % 2880), 1)


def image_with(
    length_px: float, snr: float, *, seed: int = 0, fwhm_px: float = 2.5, side: int = 63
) -> NDArray[np.float64]:
    """A trail (0 px: a point) through the middle of noise of sigma 10."""
    rng = np.random.default_rng(seed)
    image = rng.normal(0.0, 10.0, (side, side))
    x, y = side // 2 + rng.uniform(-0.5, 0.5, 2)
    turn = rng.uniform(0.0, np.pi)
    dx, dy = (0.5 * max(length_px, 0.01) * f(turn) for f in (np.cos, np.sin))
    ends = (x - dx, y - dy, x + dx, y + dy)
    sigma_px = fwhm_px / 2.3548
    add_trail(image, ends, flux_for_snr(ends, snr, sigma_px=sigma_px, noise=10.0), sigma_px)
    return image


def ztf_record(
    candid: int, image: NDArray[Any] | None = None, *, object_id: str = "ZTF18abc", **values: Any
) -> dict[str, Any]:
    """A packet; values go into its candidate."""
    candidate = {
        "jd": 2458158.6, "ra": 87.4, "dec": 22.8, "magpsf": 18.0, "sigmapsf": 0.1,
        "isdiffpos": "t", "fid": 2, "ssdistnr": -999.0, "ssmagnr": -999.0, "sgscore1": 0.5,
        "rb": 0.7, "xpos": 100.0 + candid % 1000, "ypos": 50.0, "ssnamenr": "null",
        "pdiffimfilename": "ztf_20180209001_000500_zr_c01_o_q1_scimrefdiffimg.fits",
    }  # fmt: skip
    cutout = None if image is None else {"fileName": "x", "stampData": stamp_bytes(image)}
    return {"schemavsn": "3.3", "objectId": object_id, "candid": candid,
            "candidate": {**candidate, **values}, "cutoutDifference": cutout}  # fmt: skip


def write_avro(path: Path, records: Iterable[dict[str, Any]], schema: Any = None) -> Path:
    """A container file of ZTF's packets."""
    with path.open("wb") as stream:
        fastavro.writer(stream, schema or ZTF_SCHEMA, list(records), sync_interval=1)
    return path


def message(record: dict[str, Any], number: int, schema: Any = None) -> bytes:
    """A packet in Confluent's wire format."""
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema or ZTF_SCHEMA), record)
    return b"\0" + number.to_bytes(4, "big") + stream.getvalue()


class Sure:
    """A classifier that says asteroid, whatever it is shown, and ends its process at a bright one.

    It stands in for what may happen in a library's C code.
    """

    name = "sure"

    def __init__(self, deadly_above: float = np.inf) -> None:
        self._deadly_above = deadly_above

    def predict_proba(self, cutouts: Cutouts) -> NDArray[np.float64]:
        if len(cutouts) and cutouts.difference.max() > self._deadly_above:
            import os

            os._exit(11)
        p = np.full((len(cutouts), len(OUTPUTS)), 0.01)
        p[:, OUTPUTS.index("asteroid")] = 0.93
        return p


def load_sure() -> Sure:
    return Sure()


def load_deadly() -> Sure:
    return Sure(1e6)
