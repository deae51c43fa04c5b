"""What subjects can be made of: nights, folders of cutouts, alert packets."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from streaks.config import LabelConfig
    from streaks.cutouts import Cutouts
    from streaks.labelling import Material
    from streaks.night_folder import Night
    from streaks.readers import Alert

__all__ = ["read_sources", "with_disagreement"]

#: Names of files and packets that cannot be read, told one by one.
_NAMED = 5
_ARCHIVES = (".tar", ".tgz", ".tar.gz")
#: Classified at once: the memory of a batch.
_BATCH = 512
#: Fields of an alert's candidate that have another name here.
_ALERT_NAMES = {
    "magpsf": "mag", "sigmapsf": "mag_err", "sgscore1": "sgscore", "ndethist": "ndet",
    "psfFlux": "flux", "psfFluxErr": "flux_err",
}  # fmt: skip


def read_sources(paths: Sequence[Path], *, model: str, polarity: str) -> tuple[Material, int]:
    """Streaks of all sources under one another, with a way to their cutouts.

    Parameters
    ----------
    paths
        Folders of nights, of cutouts or of alerts, or files of the latter two.
    model
        Classifies what comes without classes; ``none`` for nothing.
    polarity
        Of 8-bit pictures.

    Returns
    -------
    material : Material
    n_failed : int
        Files and packets that could not be read; they are named on the standard error stream.

    Raises
    ------
    ReadError
        If a source is none.
    """
    from streaks.labelling import Material, joined_columns
    from streaks.labelling.columns import length_of

    nights, cutouts, alerts = _sorted(paths)
    parts: list[Material] = [_night_material(path) for path in nights]
    failures: list[tuple[str, str]] = []
    stacks: list[Cutouts] = []
    if cutouts:
        from streaks.readers import read_cutouts

        found = read_cutouts(cutouts, polarity=polarity)
        failures += found.failures
        stacks += found.cutouts
    parts += [_classified(_stack_material(stack), model) for stack in stacks]
    if alerts:
        material, failed = _alert_material(alerts)
        failures += failed
        parts += [_classified(one, model) for one in material]
    _say_failures(failures)
    lengths = [length_of(part.columns) for part in parts]
    starts = [sum(lengths[:i]) for i in range(len(lengths))]

    def read(rows: NDArray[np.int64]) -> Iterator[tuple[int, Cutouts]]:
        for part, start, n in zip(parts, starts, lengths, strict=True):
            own = rows[(rows >= start) & (rows < start + n)] - start
            for row, one in part.read(own) if len(own) else ():
                yield row + start, one

    return Material(joined_columns([part.columns for part in parts]), read), len(failures)


def with_disagreement(material: Material, config: LabelConfig, model: str) -> Material:
    """The same with a column ``disagreement`` of the rows that are in question.

    Parameters
    ----------
    material
        Any.
    config
        Rows that it leaves out are not classified.
    model
        A classifier of several members.

    Returns
    -------
    Material
        As it came, where its columns tell already how far models differ.

    Raises
    ------
    ConfigError
        If the model has no members that could differ.
    """
    import numpy as np

    from streaks.errors import ConfigError
    from streaks.labelling import Material, model_disagreement
    from streaks.labelling.columns import length_of
    from streaks.labelling.selection import select_rows
    from streaks.models import load_classifier

    if not np.isnan(model_disagreement(material.columns)).all():
        return material
    classifier = load_classifier("default" if model == "none" else model)
    members = getattr(classifier, "members", ())
    if len(members) < 2:
        raise ConfigError(
            f"--active disagreement needs a model of several members, and {model} has none; use "
            "--model default, or --active entropy"
        )
    found = np.full(length_of(material.columns), np.nan)
    rows, _ = select_rows(material.columns, replace(config, active=""))
    for at, stack in _batches(material, rows):
        p = [member.predict_proba(stack) for member in members]
        apart = [np.abs(a - b).sum(axis=1) / 2 for i, a in enumerate(p) for b in p[:i]]
        found[at] = np.max(apart, axis=0)
    return Material({**material.columns, "disagreement": found}, material.read)


def _sorted(paths: Sequence[Path]) -> tuple[list[Path], list[Path], list[Path]]:
    from streaks.errors import ReadError
    from streaks.night_folder import NightFolder

    nights: list[Path] = []
    cutouts: list[Path] = []
    alerts: list[Path] = []
    for path in paths:
        if not path.exists():
            raise ReadError(f"{path} does not exist; check the name")
        folder = NightFolder(path)
        if path.is_dir() and any(p.exists() for p in (folder.mark, folder.streaks, folder.ledger)):
            nights.append(path)
        elif _holds_alerts(path):
            alerts.append(path)
        else:
            cutouts.append(path)
    return nights, cutouts, alerts


def _holds_alerts(path: Path) -> bool:
    if path.is_dir():
        return any(_is_packet(file) for file in path.rglob("*"))
    return _is_packet(path)


def _is_packet(path: Path) -> bool:
    return path.name.lower().endswith((".avro", *_ARCHIVES))


def _night_material(path: Path) -> Material:
    import numpy as np

    from streaks.errors import ReadError
    from streaks.labelling import Material, plain_columns
    from streaks.labelling.things import rows_of_images
    from streaks.night_folder import read_night

    night = read_night(path)
    columns = {**plain_columns(night.streaks), **_of_frames(night), **_detections(night)}
    images = np.asarray(night.streaks["image"]).astype(str)
    names = np.asarray(night.streaks["streak_id"]).astype(str)

    def read(rows: NDArray[np.int64]) -> Iterator[tuple[int, Cutouts]]:
        for image, places in rows_of_images(images[rows]):
            try:
                stack = night.cutouts(image)
            except ReadError as error:
                print(error, file=sys.stderr)
                continue
            at = {name: i for i, name in enumerate(stack.names)}
            for row in rows[places]:
                if names[row] in at:
                    yield int(row), stack.select(np.array([at[names[row]]]))

    return Material(columns, read)


def _of_frames(night: Night) -> dict[str, NDArray[Any]]:
    """CCD and field of each streak, where the frames' headers told them."""
    import numpy as np

    found: dict[str, NDArray[Any]] = {}
    images = [str(image) for image in night.streaks["image"]]
    for name in ("ccd", "field"):
        if name in night.streaks.colnames or name not in night.frames.colnames:
            continue
        told = {
            str(image): _number(value)
            for image, value in zip(night.frames["image"], night.frames[name], strict=True)
        }
        values = np.array([told.get(image, math.nan) for image in images], dtype=float)
        if np.isfinite(values).any():
            found[name] = values
    return found


def _detections(night: Night) -> dict[str, NDArray[Any]]:
    """How many detections of each streak's object there are, and the minutes they span."""
    import astropy.units as u
    import numpy as np

    n, minutes = np.ones(len(night.streaks)), np.zeros(len(night.streaks))
    if "tracklet" in night.streaks.colnames and len(night.tracklets):
        arcs = np.asarray(night.tracklets["arc"].to_value(u.min), dtype=float)
        told = {
            str(name): (float(count), float(arc))
            for name, count, arc in zip(
                night.tracklets["tracklet"], night.tracklets["n"], arcs, strict=True
            )
        }
        for row, name in enumerate(night.streaks["tracklet"]):
            n[row], minutes[row] = told.get(str(name), (1.0, 0.0))
    return {"ndet": n, "delta_t": minutes}


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return math.nan


def _stack_material(stack: Cutouts, columns: Mapping[str, Any] | None = None) -> Material:
    import numpy as np

    from streaks.labelling import Material, pixels_key

    names = np.array(stack.names, dtype=str)
    pixels = [pixels_key(a, b) for a, b in zip(stack.difference, stack.mask, strict=True)]
    told = {"streak_id": names, "pixels": np.array(pixels, dtype=str), **(columns or {})}

    def read(rows: NDArray[np.int64]) -> Iterator[tuple[int, Cutouts]]:
        for row in rows:
            yield int(row), stack.select(np.array([row]))

    return Material(told, read)


def _classified(material: Material, model: str) -> Material:
    """With classes, from a model; what the source itself says stays (an alert's ``rb``)."""
    import numpy as np

    from streaks.classification import classify_cutouts
    from streaks.labelling import Material, joined_columns, plain_columns
    from streaks.labelling.columns import length_of
    from streaks.models import load_classifier

    n = length_of(material.columns)
    if model == "none" or "label" in material.columns or not n:
        return material
    classifier = load_classifier(model)
    parts = [
        plain_columns(classify_cutouts(classifier, stack, details=True))
        for _, stack in _batches(material, np.arange(n))
    ]
    return Material({**joined_columns(parts), **material.columns}, material.read)


def _batches(
    material: Material, rows: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], Cutouts]]:
    """Cutouts of one size, some hundred at once, with their rows."""
    import numpy as np

    from streaks.cutouts import stack_cutouts

    at: list[int] = []
    held: list[Cutouts] = []
    for row, one in material.read(rows):
        if held and (len(held) == _BATCH or held[0].size_px != one.size_px):
            yield np.array(at), stack_cutouts(held)
            at, held = [], []
        at.append(row)
        held.append(one)
    if held:
        yield np.array(at), stack_cutouts(held)


def _alert_material(paths: Sequence[Path]) -> tuple[list[Material], list[tuple[str, str]]]:
    """Alerts with stamps, one material for each size of stamp."""
    import numpy as np

    from streaks.readers import read_alerts

    alerts, failed = read_alerts(paths)
    failures = [(str(failure.path), failure.reason) for failure in failed]
    by_size: dict[int, list[Alert]] = {}
    for alert in alerts:
        if alert.difference is None:
            failures.append((f"{alert.path}: {alert.name}", "the alert has no difference stamp"))
        else:
            by_size.setdefault(max(alert.difference.shape), []).append(alert)
    materials = []
    for size, group in sorted(by_size.items()):
        rows = [_alert_row(alert) for alert in group]
        columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        fields = dict.fromkeys(name for alert in group for name in alert.candidate)
        for name in fields:
            known = _ALERT_NAMES.get(str(name), str(name))
            if known not in columns:
                values = [alert.candidate.get(name) for alert in group]
                column = _column(values)
                if column is not None:
                    columns[known] = column
        materials.append(_stack_material(_alert_stack(group, size), columns))
    return materials, failures


def _column(values: Sequence[Any]) -> NDArray[Any] | None:
    """A packet's field as a column: numbers, or text; None for anything else."""
    import numpy as np

    told = [value for value in values if value is not None]
    if all(isinstance(value, int | float) for value in told):
        return np.array([math.nan if v is None else float(v) for v in values], dtype=float)
    if all(isinstance(value, str | bool) for value in told):
        return np.array(["" if v is None else str(v) for v in values], dtype=str)
    return None


def _alert_row(alert: Alert) -> dict[str, Any]:
    from astropy.time import Time

    from streaks.tables import StreakFlag

    told = alert.candidate
    jd = alert.mid_jd()
    x, y = _place(alert)
    first, last = _number(told.get("jdstarthist")), _number(told.get("jdendhist"))
    rcid = _number(told.get("rcid"))
    rb = _number(told.get("rb"))
    return {
        "image": alert.image,
        "x": x,
        "y": y,
        "ra": alert.ra,
        "dec": alert.dec,
        "time": Time(jd, format="jd").isot if math.isfinite(jd) else "",
        "flags": int(StreakFlag.NEGATIVE) if alert.is_positive is False else 0,
        "mag": alert.mag,
        "mag_err": alert.mag_err,
        "ssdistnr": -999.0 if math.isnan(alert.ssdistnr) else alert.ssdistnr,
        "ssmagnr": -999.0 if math.isnan(alert.ssmagnr) else alert.ssmagnr,
        "ssnamenr": alert.ssnamenr or "null",
        "snr": alert.snr,
        "score": alert.snr,
        "rb": rb if math.isfinite(rb) else alert.reliability,
        "field": _number(told.get("field")),
        # ZTF's readout channels are four a CCD.
        "ccd": rcid // 4 + 1 if math.isfinite(rcid) else _number(told.get("detector")),
        "delta_t": (last - first) * 1440 if math.isfinite(last - first) else math.nan,
    }


def _place(alert: Alert) -> tuple[float, float]:
    """Pixel in the image, from 0; unknown of surveys whose image's name does not tell the chip."""
    told = alert.candidate
    if alert.survey == "ztf":
        # As in FITS, the first pixel is 1.
        return _number(told.get("xpos")) - 1, _number(told.get("ypos")) - 1
    if alert.survey == "rubin":
        return _number(told.get("x")), _number(told.get("y"))
    return math.nan, math.nan


def _alert_stack(group: Sequence[Alert], size: int) -> Cutouts:
    """Stamps in the middle of squares; science and reference where all have them."""
    import numpy as np

    from streaks.cutouts import Cutouts

    names = _unique([alert.name for alert in group])
    difference = _squares([alert.true_difference for alert in group], size)
    beside: dict[str, Any] = {}
    for name, images in (
        ("science", [alert.science for alert in group]),
        ("reference", [alert.template for alert in group]),
    ):
        if all(image is not None and max(image.shape) <= size for image in images):
            beside[name] = _squares(images, size)
    mask = ~np.isfinite(difference)
    widths = np.array([alert.fwhm_px for alert in group], dtype=float)
    return Cutouts(np.where(mask, np.float32(0), difference), mask, names, **beside, fwhm_px=widths)


def _squares(images: Sequence[Any], size: int) -> NDArray[np.float32]:
    import numpy as np

    squares = np.full((len(images), size, size), np.nan, np.float32)
    for i, image in enumerate(images):
        ny, nx = image.shape
        y, x = (size - ny) // 2, (size - nx) // 2
        squares[i, y : y + ny, x : x + nx] = image
    return squares


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        unique.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return tuple(unique)


def _say_failures(failures: Sequence[tuple[str, str]]) -> None:
    for where, reason in failures[:_NAMED]:
        print(f"{where}: {reason}", file=sys.stderr)
    if len(failures) > _NAMED:
        print(f"... and {len(failures) - _NAMED} more", file=sys.stderr)
