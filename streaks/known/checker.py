"""Verdicts for a stream: nights prepared once, alerts by the batch, and packets' own orbits.

`check_alerts` follows only what may be near the alerts of a table, over years. Here all orbits of
a catalogue are followed to each night once (and kept on disk), as a stream asks for one night a
thousand times. What the catalogue lacks is looked up in the orbit that the packet itself brings.
"""

from __future__ import annotations

import fcntl
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable
from astropy.time import Time
from numpy.typing import NDArray

from streaks.errors import CatalogueError
from streaks.known.check import by_value, check_exposure, unanswered, with_answers
from streaks.known.claims import read_claims
from streaks.known.dynamics import Dynamics
from streaks.known.index import NightIndex, prepare_night
from streaks.known.names import normalise_name
from streaks.known.nbody import with_ephemeris
from streaks.known.observatories import Observatory
from streaks.known.orbits import Orbits
from streaks.known.places import as_observatory
from streaks.known.solar_system import Ephemeris
from streaks.known.verdicts import Answer, CheckConfig

__all__ = ["AlertChecker", "orbits_from_elements"]

_log = logging.getLogger(__name__)

#: Julian date of MJD 0.
_MJD_ZERO = 2_400_000.5
#: Nights kept at once: alerts of two come mixed at most, and old ones in tests.
_MAX_NIGHTS = 3
#: A packet's orbit and an object of the catalogue this near to one another are one, arcsec.
_SAME_PLACE = 1.0
_GEOCENTRE = "500"
#: TDB is ahead of UTC by 69 s since 2017, by a second or two less before.
_TDB_AHEAD_DAYS = 69.2 / 86_400.0


def orbits_from_elements(rows: Sequence[Mapping[str, Any]]) -> Orbits:
    """A small catalogue of orbits that packets brought.

    Parameters
    ----------
    rows
        Each with ``names`` (a designation first), ``q_au, e, incl_deg, node_deg, argperi_deg,
        tp_mjd, epoch_mjd`` (TT) and ``h_mag, g_slope, u_param``.

    Returns
    -------
    Orbits
    """

    def column(name: str) -> NDArray[np.float64]:
        return np.array([float(row[name]) for row in rows], dtype=float)

    names = [str(row["names"][0]) for row in rows]
    keys = [normalise_name(name) for name in names]
    return Orbits(
        designation=np.array(keys, dtype=str),
        name=np.array(keys, dtype=str),
        h_mag=column("h_mag"),
        g_slope=column("g_slope"),
        epoch_jd=column("epoch_mjd") + _MJD_ZERO,
        q_au=column("q_au"),
        e=column("e"),
        incl_rad=np.radians(column("incl_deg")),
        node_rad=np.radians(column("node_deg")),
        argperi_rad=np.radians(column("argperi_deg")),
        tp_jd=column("tp_mjd") + _MJD_ZERO,
        uncertainty=column("u_param"),
    )


@dataclass(eq=False)
class AlertChecker:
    """Judges what alerts say of known objects, batch after batch.

    Parameters
    ----------
    orbits
        The catalogue; None for packets' own orbits alone.
    config
        When a claim counts as right.
    dynamics, ephemeris
        As of `streaks.known.predict`.
    cache
        Folder in which the states of nights are kept; not kept by default.
    """

    orbits: Orbits | None = None
    config: CheckConfig = field(default_factory=CheckConfig)
    dynamics: str | Dynamics = "n-body"
    ephemeris: Ephemeris | None = None
    cache: Path | None = None

    def __post_init__(self) -> None:
        self._model, self._bodies = with_ephemeris(self.dynamics, self.ephemeris)
        self._nights: dict[float, NightIndex] = {}

    def check(
        self,
        claims: QTable,
        observatories: Sequence[str | Observatory],
        packet_orbits: Sequence[Mapping[str, Any] | None] | None = None,
    ) -> QTable:
        """Verdicts on alerts.

        Parameters
        ----------
        claims
            n alerts, as `streaks.known.check_alerts` takes them.
        observatories
            Where each was taken: MPC codes, or sites; empty for the Earth's centre.
        packet_orbits
            The orbit that each packet brings of the object it names, as `orbits_from_elements`
            takes it; None for none.

        Returns
        -------
        QTable
            The claims with `streaks.known.check.CHECK_COLUMNS`, and ``orbit``: ``catalogue`` or
            ``packet``, by whose orbit the object is known; empty for none.

        Raises
        ------
        CatalogueError
            For an unknown observatory.
        """
        given = read_claims(claims)
        answers, usable = unanswered(given, self._bodies)
        source = [""] * len(claims)
        rows = np.flatnonzero(usable)
        if self.orbits is not None and len(self.orbits):
            self._judge_all(given, rows, observatories, answers)
            for i in rows:
                source[i] = "catalogue" if answers[i][0] is not None else ""
        elif len(rows):
            for i in rows:
                named = given["claims"][i].name
                answers[i] = (None, "none", "no catalogue to check it with" if named else "")
        if packet_orbits is not None:
            self._ask_packets(given, rows, observatories, packet_orbits, answers, source)
        checked = with_answers(claims, answers)
        checked["orbit"] = np.array(source, dtype=str)
        return checked

    def _judge_all(
        self,
        given: dict[str, Any],
        rows: NDArray[np.intp],
        observatories: Sequence[str | Observatory],
        answers: list[Answer],
    ) -> None:
        for code in sorted({str(observatories[i]) for i in rows}):
            site = as_observatory(code or _GEOCENTRE)
            here = rows[[str(observatories[i]) == code for i in rows]]
            for exposure in by_value(given["mid_jd"], here):
                night = self._night(float(given["mid_jd"][exposure[0]]))
                check_exposure(night, given, exposure, self.config, answers, site)

    def _night(self, jd_utc: float) -> NightIndex:
        mjd = float(Time(jd_utc, format="jd", scale="utc").tdb.mjd)
        middle = math.floor(mjd) + 0.5
        if middle not in self._nights:
            if len(self._nights) >= _MAX_NIGHTS:
                self._nights.pop(next(iter(self._nights)))
            time = Time(middle, format="mjd", scale="tdb")
            assert self.orbits is not None
            with _one_at_a_time(self.cache):
                self._nights[middle] = prepare_night(
                    self.orbits, time, _GEOCENTRE, dynamics=self._model, ephemeris=self._bodies,
                    cache=self.cache,
                )  # fmt: skip
        return self._nights[middle]

    def _ask_packets(
        self,
        given: dict[str, Any],
        rows: NDArray[np.intp],
        observatories: Sequence[str | Observatory],
        packet_orbits: Sequence[Mapping[str, Any] | None],
        answers: list[Answer],
        source: list[str],
    ) -> None:
        """Judge by the packet's own orbit what the catalogue cannot."""
        asked = [int(i) for i in rows if self._asks(given, answers[i], packet_orbits[i], int(i))]
        for i, own in self._by_own_orbits(given, asked, observatories, packet_orbits).items():
            known, verdict, _ = answers[i]
            if own[0] is None:
                continue
            if known is None:
                if verdict == "none":
                    answers[i], source[i] = own, "packet"
            elif abs(own[0].sep_arcsec - known.sep_arcsec) <= _SAME_PLACE and own[1] == "agree":
                # Two orbits, one place, one object: the catalogue has it under its number.
                note = f"{given['claims'][i].name} is {known.name} by the packet's own orbit"
                answers[i] = (known, "agree", note)

    @staticmethod
    def _asks(given: dict[str, Any], answer: Answer, row: Mapping[str, Any] | None, i: int) -> bool:
        """Whether the catalogue has left something to ask the packet's own orbit."""
        known, verdict, _ = answer
        if row is None or not given["claims"][i].name:
            return False
        return verdict == "wrong_name" or (verdict == "none" and known is None)

    def _by_own_orbits(
        self,
        given: dict[str, Any],
        asked: list[int],
        observatories: Sequence[str | Observatory],
        packet_orbits: Sequence[Mapping[str, Any] | None],
    ) -> dict[int, Answer]:
        """Answers by packets' own orbits; none where these cannot be followed."""
        found: dict[int, Answer] = {}
        for (day, code), rows in _grouped(given["mid_jd"], asked, observatories).items():
            elements = {
                normalise_name(str(row["names"][0])): row
                for row in (packet_orbits[i] for i in rows) if row is not None
            }  # fmt: skip
            try:
                night = prepare_night(
                    orbits_from_elements(list(elements.values())),
                    Time(day + 0.5, format="jd", scale="tdb"), _GEOCENTRE,
                    dynamics=self._model, ephemeris=self._bodies,
                )  # fmt: skip
                answers: list[Answer] = [(None, "none", "")] * len(given["claims"])
                site = as_observatory(code or _GEOCENTRE)
                for exposure in by_value(given["mid_jd"], np.array(rows)):
                    check_exposure(night, given, exposure, self.config, answers, site)
            except (CatalogueError, ValueError, ArithmeticError) as error:
                _log.info("orbits of packets cannot be followed: %s", error)
                continue
            found |= {i: answers[i] for i in rows}
        return found


@contextmanager
def _one_at_a_time(cache: Path | None) -> Iterator[None]:
    """Processes that need one night: the first follows the orbits, the others read its states."""
    if cache is None:
        yield
        return
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = (cache / "night.lock").open("a")
    except OSError:  # a cache that cannot be written to is none
        yield
        return
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _grouped(
    mid_jd: NDArray[np.float64], rows: Sequence[int], observatories: Sequence[str | Observatory]
) -> dict[tuple[float, str], list[int]]:
    """Rows by day and observatory."""
    found: dict[tuple[float, str], list[int]] = {}
    for i in rows:
        # Of TDB, so that no row is more than half a day from the middle.
        day = math.floor(mid_jd[i] + _TDB_AHEAD_DAYS)
        found.setdefault((day, str(observatories[i])), []).append(i)
    return found
