"""Make the small simulated night that comes with the package (`streaks sample` writes it).

    python -m benchmarks.sample_night [-o streaks/synth/sample_night]

Three exposures of one field under ZTF's file names, each with its mask and science image, one
reference, the orbits of some of the asteroids, the truth, and two dozen alert packets. Images are
Rice-compressed, so that the whole stays under 2 MB.

Packets say of known asteroids what the orbits say, but for three, which are made wrong: one names
nobody where a known asteroid is, one names an asteroid that is elsewhere, one has its distance
wrong. `streaks known check` finds them.
"""

from __future__ import annotations

import argparse
import gzip
import io
import shutil
import tempfile
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
from astropy.io import fits
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.known import Orbits, predict, read_orbits
from streaks.readers import read_frame, read_table
from streaks.sky import to_icrs
from streaks.synth import NightConfig, make_night

SEED = 41
SHAPE = (460, 512)
CONFIG = NightConfig(
    asteroids=(4, 4),
    asteroid_snr=(12.0, 60.0),
    asteroid_length_px=(12.0, 60.0),
    satellites=1.0,
    ghosts=4.0,
    masked_stars=30.0,
)
#: Side of a packet's stamp, px, as ZTF's.
STAMP_PX = 63
#: Packets of each other kind of thing in a frame.
OTHERS = 3
_HALF_EXPOSURE_DAYS = 15.0 / 86400.0

_CANDIDATE: tuple[tuple[str, Any], ...] = (
    *((name, "double") for name in ("jd", "ra", "dec", "magpsf", "sigmapsf", "xpos", "ypos")),
    ("isdiffpos", "string"),
    ("fid", "int"),
    *((name, ["null", "double"]) for name in ("ssdistnr", "ssmagnr")),
    *((name, ["null", "string"]) for name in ("ssnamenr", "pdiffimfilename")),
)
_STAMP = {
    "type": "record",
    "name": "cutout",
    "fields": [{"name": "fileName", "type": "string"}, {"name": "stampData", "type": "bytes"}],
}
SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "alert",
    "namespace": "ztf",
    "fields": [
        {"name": "schemavsn", "type": "string"},
        {"name": "objectId", "type": "string"},
        {"name": "candid", "type": "long"},
        {
            "name": "candidate",
            "type": {
                "type": "record",
                "name": "candidate",
                "fields": [{"name": name, "type": kind} for name, kind in _CANDIDATE],
            },
        },
        {"name": "cutoutDifference", "type": _STAMP},
    ],
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("streaks/synth/sample_night"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sky = make_night(Path(folder) / "sky", frames=3, seed=SEED, shape=SHAPE, config=CONFIG)
        for path in sorted(sky.glob("*img.fits")):
            compress(path)
        write_alerts(sky)
        (sky / "provenance.json").unlink()
        shutil.rmtree(given.output, ignore_errors=True)
        shutil.copytree(sky, given.output)
    files = sorted(given.output.iterdir())
    total = sum(path.stat().st_size for path in files)
    print(f"{given.output}: {len(files)} files, {total / 1e6:.2f} MB")
    return 0


def compress(path: Path) -> None:
    """Put a mask, science or reference image in its compressed form, in the first extension."""
    with fits.open(path) as hdus:
        data, header = hdus[0].data, hdus[0].header
        options: dict[str, Any] = {"compression_type": "RICE_1"}
        if data.dtype.kind == "f":
            options |= {"quantize_level": 4.0, "quantize_method": 1, "dither_seed": 1}
        packed = fits.CompImageHDU(data, header, **options)
        fits.HDUList([fits.PrimaryHDU(), packed]).writeto(path.with_suffix(".fits.fz"))
    path.unlink()


def write_alerts(sky: Path) -> None:
    """Packets of the asteroids and of some other things, as a survey would send them."""
    truth, clutter = read_table(sky / "truth.ecsv"), read_table(sky / "clutter.ecsv")
    orbits = read_orbits(sky / "orbits.dat")
    packets: list[dict[str, Any]] = []
    for image in sorted(sky.glob("*_scimrefdiffimg.fits.fz")):
        frame = read_frame(image)
        data = np.where(frame.mask, np.nan, frame.data)
        assert frame.time is not None
        near = predict(orbits, frame.time, "I41", exposure_s=frame.exposure_s)
        for x, y, flux in places(frame.name, frame.mask, truth, clutter):
            number = len(packets) + 1
            ra, dec = (float(v) for v in to_icrs(frame.wcs, x, y))
            magnitude = frame.zero_point_mag - 2.5 * np.log10(max(flux, 1.0))
            candidate = {
                "jd": float(frame.time.utc.jd) - _HALF_EXPOSURE_DAYS,
                "ra": ra, "dec": dec, "magpsf": float(magnitude), "sigmapsf": 0.1,
                "xpos": x, "ypos": y, "isdiffpos": "t", "fid": 2,
                "pdiffimfilename": image.name.removesuffix(".fz"),
                **nearest(near, ra, dec),
            }  # fmt: skip
            stamp = {"fileName": f"sample_{number}.fits.gz", "stampData": cut(data, x, y)}
            packets.append(
                {
                    "schemavsn": "3.3",
                    "objectId": f"ZTF18sample{number:02d}",
                    "candid": number,
                    "candidate": candidate,
                    "cutoutDifference": stamp,
                }
            )
    spoil(packets, orbits)
    with (sky / "alerts.avro").open("wb") as file:
        fastavro.writer(file, SCHEMA, packets, codec="deflate", sync_marker=b"streaks sample..")


def places(
    name: str, mask: NDArray[np.bool_], truth: QTable, clutter: QTable
) -> list[tuple[float, float, float]]:
    """x, y and flux of a frame's asteroids and of some dipoles and muons, inside the frame."""
    here = truth[(truth["image"] == name) & (truth["label"] == "asteroid")]
    rows = [here]
    for label in ("yin_yang", "cosmic_ray"):
        rows.append(clutter[(clutter["image"] == name) & (clutter["label"] == label)][:OTHERS])
    found = [
        (float(row["x"].value), float(row["y"].value), float(row["flux"].value))
        for table in rows
        for row in table
    ]
    ny, nx = mask.shape
    half = STAMP_PX // 2
    return [
        # Of a dipole the truth has no flux.
        (x, y, abs(flux) if np.isfinite(flux) else 2000.0)
        for x, y, flux in found
        if half <= x < nx - half - 1 and half <= y < ny - half - 1
    ]


def cut(data: NDArray[Any], x: float, y: float) -> bytes:
    """The stamp about a place as gzipped FITS; what is masked is NaN."""
    half, ix, iy = STAMP_PX // 2, round(x), round(y)
    stamp = data[iy - half : iy + half + 1, ix - half : ix + half + 1]
    made = io.BytesIO()
    # Whole counts: a twelfth of the noise, and half of the bytes.
    fits.PrimaryHDU(np.round(stamp).astype(np.float32)).writeto(made)
    return gzip.compress(made.getvalue(), 9, mtime=0)


def nearest(near: QTable, ra: float, dec: float) -> dict[str, Any]:
    """ZTF's three fields on the nearest known asteroid within 30 arcsec."""
    d_ra = (near["ra"].to_value("deg") - ra) * np.cos(np.radians(dec))
    distance = 3600.0 * np.hypot(d_ra, near["dec"].to_value("deg") - dec)
    best = int(np.nanargmin(distance))
    if not distance[best] < 30.0:
        return {"ssdistnr": -999.0, "ssmagnr": -999.0, "ssnamenr": "null"}
    row = near[best]
    return {
        "ssdistnr": round(float(distance[best]), 1),
        "ssmagnr": round(float(row["vmag"].value), 1),
        "ssnamenr": str(row["designation"]),
    }


def spoil(packets: list[dict[str, Any]], orbits: Orbits) -> None:
    """Make three claims wrong: nobody, somebody else, a wrong distance."""
    named = [p["candidate"] for p in packets if p["candidate"]["ssnamenr"] != "null"]
    bare = [p["candidate"] for p in packets if p["candidate"]["ssnamenr"] == "null"]
    named[0] |= {"ssdistnr": -999.0, "ssmagnr": -999.0, "ssnamenr": "null"}
    bare[-1] |= {"ssdistnr": 4.0, "ssmagnr": 18.0, "ssnamenr": named[1]["ssnamenr"]}
    named[2]["ssdistnr"] += 21.0


if __name__ == "__main__":
    raise SystemExit(main())
