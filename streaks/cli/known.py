"""`streaks known update`, `query`, `check` and `satellites`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from astropy.table import QTable
    from astropy.time import Time

    from streaks.known import Dynamics, Observatory, Orbits
    from streaks.known.solar_system import Ephemeris

__all__ = ["app", "check", "query", "satellites", "update"]

app = typer.Typer(no_args_is_help=True, help="Known asteroids: what is near, and who says so.")

OrbitFile = Annotated[
    Path | None,
    typer.Option(
        "--orbits",
        envvar="STREAKS_ORBITS",
        help="Orbit catalogue in MPCORB columns (MPCORB.DAT, NEA.txt; .gz or not).",
    ),
]
Site = Annotated[str, typer.Option("--observatory", help="MPC code; 500 is the geocentre.")]
SiteFile = Annotated[
    Path | None,
    typer.Option(help="The MPC's list of all codes (obscodes_extended.json), for rare sites."),
]
EphemerisFile = Annotated[
    Path | None,
    typer.Option(
        "--ephemeris",
        envvar="STREAKS_EPHEMERIS",
        help="JPL kernel of the planets (de440.bsp or an excerpt), or a folder with it and one "
        "of massive asteroids (sb441-n16.bsp). Without it: the package's own, for 2012 to 2035.",
    ),
]
TwoBody = Annotated[
    bool,
    typer.Option("--two-body", help="The Sun's pull alone: faster, good for weeks about epoch."),
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Table; its suffix is the format.")
]
Json = Annotated[bool, typer.Option("--json", help="Answer as JSON on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]

#: What `query` shows on a terminal, with the digits that mean something.
_SHOWN = {
    "name": "", "sep": ".1f", "ra": ".5f", "dec": ".5f", "vmag": ".1f",
    "rate": ".4f", "pa": ".1f", "delta": ".3f", "pos_err": ".2g",
}  # fmt: skip
_UNITS = {"sep": '"', "ra": "deg", "dec": "deg", "rate": '"/s', "pa": "deg", "delta": "au",
          "pos_err": '"', "vmag": "mag"}  # fmt: skip


@app.command()
def update(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            help="MPCORB.DAT, NEA.txt, mpcorb_extended.json, CometEls.txt, tables of JPL's "
            "Small-Body Database (.json .csv); .gz or not. Of one object the last file counts."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Catalogue to write (.npz).")
    ] = None,
    url: Annotated[
        list[str] | None,
        typer.Option(help="Download this too (https://); nothing is, unless asked."),
    ] = None,
    allow_http: Annotated[
        bool,
        typer.Option("--allow-http", help="Take http:// too, which can be altered on the way."),
    ] = False,
    max_size: Annotated[float, typer.Option(min=0.001, help="Largest download, MB.")] = 2000.0,
    sha256: Annotated[str | None, typer.Option(help="What the one download must be.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a compact local catalogue of orbits, which every command then finds by itself."""
    import json

    from streaks.known import default_catalogue, download, make_catalogue
    from streaks.known.update import file_sha256

    urls = url or []
    if sha256 is not None and len(urls) != 1:
        raise typer.BadParameter("--sha256 belongs to one --url")
    fetched = [
        download(address, sha256=sha256, max_bytes=int(max_size * 1e6), allow_http=allow_http)
        for address in urls
    ]
    sums = {path.name: file_sha256(path) for path in fetched}
    sources = [*(files or []), *fetched]
    target = output or default_catalogue()
    orbits = make_catalogue(sources, target, urls=urls)
    _name_bad_lines(orbits)
    if as_json:
        answer = {"orbits": len(orbits), "bad_lines": len(orbits.failures), "output": str(target)}
        typer.echo(json.dumps({**answer, "sha256": sums}))
    elif not quiet:
        for name, found in sums.items():
            typer.echo(f"{name}: SHA-256 {found}")
        typer.echo(f"{len(orbits)} orbits, {len(orbits.failures)} bad lines -> {target}")


@app.command()
def satellites(
    table: Annotated[
        Path, typer.Argument(help="Streaks, as `detect` and `night` write them (with `time`).")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Table of candidates; its suffix is the format.")
    ],
    tle: Annotated[
        Path, typer.Option(help="Satellites of about that date: two-line elements, or OMM.")
    ],
    exposure: Annotated[float, typer.Option(min=0.1, help="Length of an exposure, s.")] = 30.0,
    observatory: Site = "I41",
    obscodes: SiteFile = None,
    quiet: Quiet = False,
) -> None:
    """Which satellites each streak may be, the likeliest first, with their doubts."""
    from astropy.table import vstack
    from astropy.time import Time

    from streaks.readers import read_table
    from streaks.reporting import write_table
    from streaks.satellites import CANDIDATE_COLUMNS, match_satellites, read_satellites
    from streaks.tables import empty_table

    site, known, streaks = _site(observatory, obscodes), read_satellites(tle), read_table(table)
    missing = {"streak_id", "time", "ra", "dec", "pa", "ra0"} - set(streaks.colnames)
    if missing:
        raise typer.BadParameter(f"{table} lacks the columns {', '.join(sorted(missing))}")
    times = [str(time) for time in streaks["time"]]
    parts = [empty_table(CANDIDATE_COLUMNS)]
    for time in sorted(set(times) - {""}):
        rows = streaks[[t == time for t in times]]
        when = Time(time, scale="utc")
        parts.append(match_satellites(rows, known, when, site, exposure_s=exposure))
    found = vstack(parts)
    write_table(found, output)
    if not quiet:
        some = len(set(found["streak_id"][found["possible"] == 1]))
        typer.echo(
            f"{some} of {len(streaks)} streaks may be satellites; {len(found)} candidates "
            f"-> {output}"
        )


def _name_bad_lines(orbits: Orbits) -> None:
    for bad in orbits.failures[:10]:
        typer.echo(str(bad), err=True)
    if len(orbits.failures) > 10:
        typer.echo(f"and {len(orbits.failures) - 10} more bad lines", err=True)


# A declination may be negative: what looks like an option may be a number.
@app.command(context_settings={"ignore_unknown_options": True})
def query(
    ra: Annotated[str | None, typer.Argument(help="Degrees, or hours as 08:13:45.6.")] = None,
    dec: Annotated[str | None, typer.Argument(help="Degrees, or as -12:18:00.")] = None,
    time: Annotated[
        str | None, typer.Option("--time", help="Mid-exposure, UTC: 2019-07-20T08:00:00 or a JD.")
    ] = None,
    radius: Annotated[
        str, typer.Option(help="Such as 30, 30arcsec, 5arcmin, 1deg; bare numbers are arcsec.")
    ] = "5arcmin",
    frame: Annotated[
        Path | None, typer.Option(help="What is in this image, instead of a place and time.")
    ] = None,
    orbits: OrbitFile = None,
    observatory: Site = "I41",
    obscodes: SiteFile = None,
    ephemeris: EphemerisFile = None,
    two_body: TwoBody = False,
    limiting_mag: Annotated[float, typer.Option(help="Leave out what is fainter (V).")] = 30.0,
    output: Output = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """What known asteroids are near a place at a time, or in an image."""
    site = _site(observatory, obscodes)
    bodies = _ephemeris(ephemeris)
    dynamics = _dynamics(bodies, two_body=two_body)
    catalogue = _read_orbits(orbits, quiet=quiet or as_json)
    if frame is not None:
        found = _in_frame(frame, catalogue, site, dynamics, bodies)
    elif ra is None or dec is None or time is None:
        raise typer.BadParameter("give RA, DEC and --time, or --frame IMAGE")
    else:
        found = _near(ra, dec, time, radius, catalogue, site, dynamics, bodies)
    found = found[~(found["vmag"].to_value("mag") > limiting_mag)]
    _show(found, output, as_json=as_json, quiet=quiet)


@app.command()
def check(
    alerts: Annotated[
        list[Path],
        typer.Argument(
            help="Avro packets, folders or tar archives of them; or one table with the columns "
            "jd (start), ra, dec, ssdistnr, ssmagnr, ssnamenr."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Table; its suffix is the format.")
    ],
    orbits: OrbitFile = None,
    exposure: Annotated[float, typer.Option(min=0.0, help="Length of an exposure, s.")] = 30.0,
    observatory: Annotated[
        str | None,
        typer.Option(
            "--observatory", help="MPC code; by default that of each packet's survey, else I41."
        ),
    ] = None,
    obscodes: SiteFile = None,
    ephemeris: EphemerisFile = None,
    two_body: TwoBody = False,
    spells: Annotated[
        Path | None,
        typer.Option(help="Table of the spells in which the survey's own orbits were stale."),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Recompute what alerts say of known asteroids, and name each claim that is wrong."""
    from streaks.errors import InputError
    from streaks.known import stale_spells
    from streaks.reporting import write_table

    site = None if observatory is None else _site(observatory, obscodes)
    claims, failures = _read_claims(alerts)
    for failure in failures:
        typer.echo(f"cannot read {failure}", err=True)
    if len(claims) == 0:
        raise InputError("no alert could be read; give Avro packets or a table of alerts")
    catalogue = _read_orbits(orbits, quiet=quiet or as_json)
    bodies = _ephemeris(ephemeris)
    dynamics = _dynamics(bodies, two_body=two_body)
    checked = _check_by_site(claims, catalogue, exposure, site, dynamics, bodies)
    write_table(checked, output)
    found = stale_spells(checked)
    if spells is not None:
        write_table(found, spells)
    _summarise(checked, found, failures, output, as_json=as_json, quiet=quiet)
    if failures:
        raise typer.Exit(1)


def _check_by_site(
    claims: QTable,
    orbits: Orbits,
    exposure_s: float,
    site: Observatory | None,
    dynamics: Dynamics,
    ephemeris: Ephemeris,
) -> QTable:
    """Verdicts, each as seen from where the alert was taken."""
    import numpy as np
    from astropy.table import vstack

    from streaks.known import check_alerts, find_observatory

    codes = np.full(len(claims), "I41", dtype="U8")
    if site is None and "observatory" in claims.colnames:
        codes = np.array([str(code) or "I41" for code in claims["observatory"]], dtype="U8")
    parts, places = [], []
    for code in sorted(set(codes.tolist())):
        rows = np.flatnonzero(codes == code)
        parts.append(
            check_alerts(
                claims[rows],
                orbits,
                exposure_s=exposure_s,
                observatory=find_observatory(code) if site is None else site,
                dynamics=dynamics,
                ephemeris=ephemeris,
            )
        )
        places.append(rows)
    if len(parts) == 1:
        return parts[0]
    order = np.argsort(np.concatenate(places), kind="stable")
    return vstack(parts, metadata_conflicts="silent")[order]


def _read_orbits(path: Path | None, *, quiet: bool) -> Orbits:
    from streaks.known import catalogue_age, default_catalogue, read_orbits

    if path is None and default_catalogue().is_file():
        path = default_catalogue()
    if path is None:
        raise typer.BadParameter(
            "give an orbit catalogue with --orbits (MPCORB.DAT or NEA.txt of the Minor Planet "
            "Center), name it in the environment variable STREAKS_ORBITS, or make one with "
            "`streaks known update`"
        )
    catalogue = read_orbits(path)
    _name_bad_lines(catalogue)
    age = catalogue_age(path, catalogue)
    if age is not None and age.is_stale:
        typer.echo(f"{path}: {age}", err=True)
    if not quiet:
        more = f", {len(catalogue.failures)} bad lines" if catalogue.failures else ""
        typer.echo(f"{len(catalogue)} orbits{more}", err=True)
    return catalogue


def _site(code: str, obscodes: Path | None) -> Observatory:
    from streaks.known import find_observatory, read_observatories

    return find_observatory(code, None if obscodes is None else read_observatories(obscodes))


def _ephemeris(path: Path | None) -> Ephemeris:
    from streaks.known import default_ephemeris, open_ephemeris

    chosen: Ephemeris = default_ephemeris() if path is None else open_ephemeris(path)
    return chosen


def _dynamics(ephemeris: Ephemeris, *, two_body: bool) -> Dynamics:
    from streaks.known import NBody, TwoBody

    return TwoBody() if two_body else NBody(ephemeris)


def _near(
    ra: str,
    dec: str,
    time: str,
    radius: str,
    orbits: Orbits,
    site: Observatory,
    dynamics: Dynamics,
    ephemeris: Ephemeris,
) -> QTable:
    from streaks.known import prepare_night

    when = _time(time)
    night = prepare_night(orbits, when, site, dynamics=dynamics, ephemeris=ephemeris)
    return night.near(
        _angle(ra, "RA", hours=True), _angle(dec, "DEC"), _radius_arcsec(radius), when
    )


def _in_frame(
    path: Path, orbits: Orbits, site: Observatory, dynamics: Dynamics, ephemeris: Ephemeris
) -> QTable:
    from streaks.errors import FrameError
    from streaks.known import prepare_night
    from streaks.readers import read_frame

    image = read_frame(path)
    if image.wcs is None or image.time is None:
        what = "celestial coordinates" if image.wcs is None else "a time"
        raise FrameError(f"{path} has no {what}; give RA, DEC and --time instead")
    night = prepare_night(orbits, image.time, site, dynamics=dynamics, ephemeris=ephemeris)
    return night.near_frame(image)


def _time(text: str) -> Time:
    from astropy.time import Time

    try:
        return Time(float(text), format="jd", scale="utc")
    except ValueError:
        pass
    try:
        return Time(text.removesuffix("Z"), scale="utc")
    except ValueError:
        raise typer.BadParameter(
            f"time is {text!r}; expected UTC such as 2019-07-20T08:00:00, or a Julian date"
        ) from None


def _angle(text: str, what: str, *, hours: bool = False) -> float:
    from astropy.coordinates import Angle

    sexagesimal = any(mark in text for mark in ": hms")
    try:
        angle = Angle(text, unit="hourangle" if hours and sexagesimal else "deg").deg
    except (ValueError, TypeError):
        raise typer.BadParameter(f"{what} is {text!r}; expected degrees or 12:34:56.7") from None
    low, high = (-360.0, 360.0) if hours else (-90.0, 90.0)
    if not low <= angle <= high:
        raise typer.BadParameter(f"{what} is {angle:g} deg; expected {low:g} to {high:g}")
    return float(angle)


def _radius_arcsec(text: str) -> float:
    import astropy.units as u

    try:
        value = float(text)
    except ValueError:
        try:
            value = u.Quantity(text).to_value("arcsec")
        except (TypeError, ValueError, u.UnitConversionError):
            value = -1.0
    if not 0.0 < value <= 180.0 * 3600.0:
        raise typer.BadParameter(f"radius is {text!r}; expected such as 30arcsec or 5arcmin")
    return float(value)


def _show(found: QTable, output: Path | None, *, as_json: bool, quiet: bool) -> None:
    from streaks.reporting import write_table

    if output is not None:
        write_table(found, output)
    if as_json:
        typer.echo(_as_json(found))
    elif output is None:
        _print_table(found)
    elif not quiet:
        typer.echo(f"{len(found)} known objects -> {output}", err=True)


def _as_json(table: QTable) -> str:
    import json

    return json.dumps([{c: _plain(table[c][i]) for c in table.colnames} for i in range(len(table))])


def _plain(value: Any) -> Any:
    number = getattr(value, "value", value)
    number = number.item() if hasattr(number, "item") else number
    return None if isinstance(number, float) and number != number else number


def _print_table(found: QTable) -> None:
    import sys

    from rich.console import Console
    from rich.table import Table

    from streaks.cli.terminal import raw, shown

    if len(found) == 0:
        typer.echo("no known object there")
        return
    table = Table(box=None, header_style="bold")
    for name in _SHOWN:
        unit = f" {_UNITS[name]}" if name in _UNITS else ""
        table.add_column(f"{name}{unit}", justify="left" if name == "name" else "right")
    for row in range(len(found)):
        table.add_row(*(shown(_cell(found[name][row], form)) for name, form in _SHOWN.items()))
    stream = raw(sys.stdout)
    Console(file=stream, width=None if stream.isatty() else 140).print(table, markup=False)


def _cell(value: Any, form: str) -> str:
    plain = _plain(value)
    return "" if plain is None else format(plain, form)


def _read_claims(paths: list[Path]) -> tuple[QTable, list[Any]]:
    """A table of what alerts say, and what could not be read."""
    from streaks.readers import read_table

    if len(paths) == 1 and paths[0].suffix.lower() in {
        ".csv",
        ".ecsv",
        ".parquet",
        ".vot",
        ".fits",
    }:
        return read_table(paths[0]), []
    from streaks.readers.alerts import read_alerts

    alerts, failures = read_alerts(paths, stamps=False)
    return _claims_of(alerts), failures


def _claims_of(alerts: list[Any]) -> QTable:
    from astropy.table import QTable

    from streaks.matching import NO_DISTANCE, NO_NAME

    def or_none(value: float) -> float:
        return NO_DISTANCE if value != value else value

    table = QTable()
    table["alert"] = [alert.name for alert in alerts]
    table["jd"] = [alert.jd for alert in alerts]
    table["ra"] = [alert.ra for alert in alerts]
    table["dec"] = [alert.dec for alert in alerts]
    if any(alert.survey != "ztf" for alert in alerts):
        # ZTF's middle is told by --exposure, the others' by their packets.
        told = [alert.mid_jd() if alert.survey != "ztf" else float("nan") for alert in alerts]
        table["mid_jd"] = told
        table["survey"] = [alert.survey for alert in alerts]
        table["ssothernames"] = ["|".join(alert.other_names) for alert in alerts]
        table["observatory"] = [alert.observatory for alert in alerts]
    table["magpsf"] = [alert.mag for alert in alerts]
    table["ssdistnr"] = [or_none(alert.ssdistnr) for alert in alerts]
    table["ssmagnr"] = [or_none(alert.ssmagnr) for alert in alerts]
    table["ssnamenr"] = [alert.ssnamenr or NO_NAME for alert in alerts]
    return table


def _summarise(
    checked: QTable,
    spells: QTable,
    failures: list[Any],
    output: Path,
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    import json
    from collections import Counter

    verdicts = Counter(str(v) for v in checked["verdict"])
    if as_json:
        answer = {"alerts": len(checked), "failed": len(failures), "verdicts": dict(verdicts)}
        stale = json.loads(_as_json(spells))
        typer.echo(json.dumps({**answer, "stale_spells": stale, "output": str(output)}))
    elif not quiet:
        from streaks.known import VERDICTS

        counts = ", ".join(f"{verdicts[v]} {v}" for v in VERDICTS if verdicts[v])
        typer.echo(f"{len(checked)} alerts: {counts} -> {output}")
        untold = sum(bool(note) and v == "none" for note, v in
                     zip(checked["note"], checked["verdict"], strict=True))  # fmt: skip
        if untold:
            typer.echo(f"{untold} of them cannot be judged; the column note says why")
        for spell in spells:
            typer.echo(
                f"stale orbits {spell['start']} to {spell['end']}: the survey's distances are too "
                f"large in {spell['stale']} of {spell['alerts']} alerts, by "
                f"{spell['excess'].value:.1f} arcsec in the median"
            )
