"""`streaks synth`: labelled cutouts, whole nights, streaks in one's own images."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from streaks.cli.compare import compare
from streaks.cli.progress import show_progress

__all__ = ["app"]

app = typer.Typer(
    help="Synthetic cutouts and nights, streaks in your own images.",
    no_args_is_help=True,
)

Seed = Annotated[int, typer.Option(help="The same seed gives the same bytes.")]
Workers = Annotated[int, typer.Option("--workers", "-w", help="Processes.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]


@app.command()
def cutouts(
    output: Annotated[Path, typer.Option("--output", "-o", help="New or empty folder.")],
    n: Annotated[int, typer.Option(help="How many cutouts.")] = 1000,
    seed: Seed = 1,
    mix: Annotated[
        str, typer.Option(help="balanced, astreaks, or asteroid=0.5,ghost=0.5.")
    ] = "balanced",
    size: Annotated[int, typer.Option(help="Side of a cutout, px.")] = 128,
    rendering: Annotated[
        str,
        typer.Option(
            help="mixed: as users' cutouts spread over formats; picture: all as ZTF's pictures."
        ),
    ] = "mixed",
    pictures: Annotated[
        bool, typer.Option("--pictures", help="One JPEG each, as ZTF stores them, no .npz.")
    ] = False,
    workers: Workers = 1,
    quiet: Quiet = False,
) -> None:
    """Labelled cutouts of every class: .npz shards, or pictures, with truth and provenance."""
    from streaks.synth import write_pictures, write_set

    with show_progress(n, "cutouts", quiet) as progress:
        options: dict[str, Any] = {
            "seed": seed, "mix": mix, "size_px": size, "workers": workers, "progress": progress,
        }  # fmt: skip
        if pictures:
            write_pictures(output, n, **options)
        else:
            write_set(output, n, rendering=rendering, **options)
    print(f"{n} cutouts in {output}")


@app.command()
def night(
    output: Annotated[Path, typer.Option("--output", "-o", help="New or empty folder.")],
    frames: Annotated[int, typer.Option(help="How many exposures.")] = 6,
    seed: Seed = 1,
    shape: Annotated[tuple[int, int], typer.Option(metavar="NY NX", help="Of a frame, px.")] = (
        3080,
        3072,
    ),
    orbits: Annotated[
        Path | None,
        typer.Option(help="MPCORB file: show its fast movers where they are that night."),
    ] = None,
    workers: Workers = 1,
    quiet: Quiet = False,
) -> None:
    """Whole frames under ZTF's file names, with masks, references, orbits and truth."""
    from streaks.synth import make_night

    catalogue = None
    if orbits is not None:
        from streaks.known import read_orbits

        catalogue = read_orbits(orbits)
    with show_progress(frames, "frames", quiet) as progress:
        make_night(
            output,
            frames=frames,
            seed=seed,
            shape=shape,
            orbits=catalogue,
            workers=workers,
            progress=progress,
        )
    print(f"{frames} frames in {output}")


@app.command()
def inject(
    images: Annotated[list[Path], typer.Argument(help="FITS images, or folders of them.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="New or empty folder.")],
    n: Annotated[int, typer.Option(help="Streaks in each image.")] = 10,
    seed: Seed = 1,
    snr: Annotated[
        tuple[float, float] | None, typer.Option(metavar="LOW HIGH", help="Signal-to-noise.")
    ] = None,
    counts: Annotated[
        tuple[float, float] | None, typer.Option(metavar="LOW HIGH", help="Total flux, counts.")
    ] = None,
    mag: Annotated[
        tuple[float, float] | None, typer.Option(metavar="LOW HIGH", help="Magnitude.")
    ] = None,
    length: Annotated[
        tuple[float, float] | None, typer.Option(metavar="LOW HIGH", help="Length, px.")
    ] = None,
    rate: Annotated[
        tuple[float, float] | None, typer.Option(metavar="LOW HIGH", help="Motion, arcsec/s.")
    ] = None,
    psf_fwhm: Annotated[
        float | None, typer.Option(help="FWHM, px, where the header has none.")
    ] = None,
    gain: Annotated[
        float | None, typer.Option(help="Electrons a count, where the header has none.")
    ] = None,
    beta: Annotated[
        float | None, typer.Option(help="Moffat exponent of the PSF; a Gaussian if absent.")
    ] = None,
    mix: Annotated[
        str, typer.Option(help="Classes to inject, asteroid=0.5,yin_yang=0.5; balanced; astreaks.")
    ] = "asteroid=1",
    artifact_snr: Annotated[
        tuple[float, float],
        typer.Option(metavar="LOW HIGH", help="Signal-to-noise of what is no asteroid."),
    ] = (15.0, 150.0),
) -> None:
    """Streaks in copies of one's own images, with their PSF, noise and zero point.

    Brightness by --snr (default 6 to 40), --counts or --mag; size by --length (default 8 to 60
    px) or --rate. Masks, science and reference images that a survey names beside an image are
    copied along.
    """
    from streaks.classification import parse_mix
    from streaks.synth import Population, inject_files
    from streaks.tables import SKIP

    population = Population(
        n=n,
        snr=snr or (None if counts or mag else (6.0, 40.0)),
        flux=counts,
        mag=mag,
        length_px=length or (None if rate else (8.0, 60.0)),
        rate_arcsec_per_s=rate,
        beta=math.inf if beta is None else beta,
        mix={label: share for label, share in parse_mix(mix).items() if label != SKIP},
        artifact_snr=artifact_snr,
    )
    overrides = {
        name: value for name, value in (("fwhm_px", psf_fwhm), ("gain", gain)) if value is not None
    }
    images = [file for path in images for file in _images_of(path)]
    failures = _inject_all(images, output, population, seed, overrides, inject_files)
    if failures:
        raise typer.Exit(2 if failures == len(images) else 1)


def _images_of(path: Path) -> list[Path]:
    """A folder's frames; any other path itself, whatever it is."""
    from streaks.readers import find_frames

    return [frame.image for frame in find_frames([path])] if path.is_dir() else [path]


def _inject_all(
    images: list[Path],
    output: Path,
    population: Any,
    seed: int,
    overrides: dict[str, float],
    inject_files: Callable[..., Any],
) -> int:
    from streaks.readers import FrameOverrides, read_frame
    from streaks.readers.files import companions, profile_of_name
    from streaks.tables import counted

    def read(path: Path) -> Any:
        return read_frame(path, overrides=FrameOverrides(**overrides))  # type: ignore[arg-type]

    def beside(path: Path) -> dict[str, Path]:
        profile = profile_of_name(path)
        return {} if profile is None else companions(path, profile)

    done, failures = inject_files(images, output, population, seed=seed, read=read, beside=beside)
    for path, reason in failures:
        print(f"streaks synth inject: {path}: {reason}", file=sys.stderr)
    if done:
        print(f"{counted(done, 'image')} with streaks in {output}")
    return len(failures)


@app.command()
def montage(
    output: Annotated[Path, typer.Option("--output", "-o", help="PNG file.")],
    source: Annotated[
        Path | None, typer.Option(help="A set of `synth cutouts`; made anew if absent.")
    ] = None,
    per_class: Annotated[int, typer.Option(help="Cutouts of each class.")] = 12,
    seed: Seed = 1,
) -> None:
    """A page of synthetic cutouts, a row a class, drawn dark on light; masked areas tinted."""
    from streaks.synth import load_set, make_cutouts, write_montage

    cutouts, truth = (
        load_set(source) if source is not None else make_cutouts(8 * per_class, seed=seed)
    )
    write_montage(output, cutouts, truth, per_class=per_class)
    print(f"montage in {output}")


app.command()(compare)
