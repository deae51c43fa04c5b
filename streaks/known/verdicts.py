"""A survey's own word on known objects, held against predictions.

ZTF writes into each alert the nearest known object: distance ``ssdistnr``, magnitude ``ssmagnr``
and name ``ssnamenr``. These come from orbits that go stale. Here each claim gets a verdict, by
these rules in this order:

``none``
    nothing named and nothing there. Also where no verdict is possible, and ``note`` says why: no
    time or place, the object named is not in the catalogue and nothing else is there, or the
    orbit is so poor that it may or may not be there;
``missed``
    the alert names nothing, and a known object is within the radius;
``not_there``
    the alert names something, and nothing is within the radius: the object named is elsewhere
    (``note``: how far), whatever distance the alert claims;
``wrong_name``
    another object is within the radius, and the one named is not, or is farther, or is not in the
    catalogue (unless the name may be a former one: see `_former_name`);
``wrong_distance``
    the right object, but the claimed distance is not the true one;
``wrong_magnitude``
    the right object at the right distance, but not so bright;
``agree``
    all of it is right, or about (see `CheckConfig`).

A name is the object's own where the catalogue has it under any of the names that the alert gives
it. Surveys differ in what they call a numbered object: ZTF by its number, Rubin by its provisional
designation, for good. Where the catalogue gives neither (it has the number and a name), such a
designation may be that of the object that is there, and is not called wrong.

Distance goes before magnitude. Where a prediction is uncertain, a claim may differ from it by
three times its error, but never by more than what separates prediction and detection: an object
that is found where the alert is shows by itself that its orbit is good.
"""

from __future__ import annotations

from dataclasses import dataclass

from streaks.errors import ConfigError
from streaks.known.claims import Claim
from streaks.known.names import normalise_name, same_object

__all__ = ["VERDICTS", "Answer", "CheckConfig", "NearObject", "judge"]

VERDICTS = (
    "agree",
    "wrong_name",
    "wrong_distance",
    "wrong_magnitude",
    "missed",
    "not_there",
    "none",
)
#: Two objects whose distances differ by less are both the nearest: claims are rounded to 1 arcsec.
_SAME_DISTANCE = 1.0
#: Asteroids with lower numbers had them before ZTF's first alerts (2018): it never calls them by a
#: provisional designation.
_NUMBERED_BEFORE = 500_000
#: Surveys that call numbered objects by their principal provisional designation.
_BY_DESIGNATION = frozenset({"rubin"})


@dataclass(frozen=True, kw_only=True)
class CheckConfig:
    """When a claim counts as right.

    Parameters
    ----------
    radius_arcsec
        Of the circle around an alert in which known objects are looked for. Above 0.
    distance_arcsec
        Largest error of a distance that is right. Above 0.
    magnitude
        Largest error of a magnitude that is right. Above 0.
    limiting_mag
        Fainter objects (V) are left out.
    """

    #: ZTF's own radius for its ss fields.
    radius_arcsec: float = 30.0
    #: Distances are rounded to 1 arcsec (0.5), and the survey's fresh orbits are good to 0.5;
    #: some of the error of our own prediction comes on top.
    distance_arcsec: float = 1.0
    #: H of one asteroid differs by some tenths between catalogues.
    magnitude: float = 1.0
    #: Fainter objects are not what a survey's exposure shows.
    limiting_mag: float = 23.0

    def __post_init__(self) -> None:
        if min(self.radius_arcsec, self.distance_arcsec, self.magnitude) <= 0:
            raise ConfigError(
                "radius_arcsec, distance_arcsec and magnitude of a check must be above 0; got "
                f"{self.radius_arcsec}, {self.distance_arcsec}, {self.magnitude}"
            )


@dataclass(frozen=True)
class NearObject:
    """A known object as seen from an alert.

    Parameters
    ----------
    name, designation
        By the catalogue; the second as `streaks.known.names` writes it.
    sep_arcsec
        From the alert.
    vmag
        Predicted.
    error_arcsec
        Of the predicted place.
    """

    name: str
    designation: str
    sep_arcsec: float
    vmag: float
    error_arcsec: float


#: The nearest known object, the verdict, and a note.
Answer = tuple[NearObject | None, str, str]


def judge(
    claim: Claim, nearest: NearObject | None, named: NearObject | None, config: CheckConfig
) -> tuple[str, str]:
    """Verdict and note; the rules stand at the top of this file.

    Parameters
    ----------
    claim
        Of the alert.
    nearest
        The nearest known object within the radius; None for none.
    named
        The object that the alert names, wherever it is; None where the catalogue lacks it.
    config
        What counts as the same.

    Returns
    -------
    verdict, note : str
        The first of `VERDICTS`.
    """
    if claim.is_none:
        if nearest is None:
            return "none", ""
        return _unless_unsure("missed", "", nearest, config)
    if nearest is None:
        if claim.name and named is None:
            return "none", f"{claim.name} is not in the catalogue: cannot tell"
        if named is None:
            return "not_there", ""
        return _unless_unsure("not_there", _where(named), named, config)
    if named is not None and named.designation != nearest.designation:
        # Of two at the same distance, by the survey's rounding, either is the nearest.
        if named.sep_arcsec - nearest.sep_arcsec > _SAME_DISTANCE:
            return _unless_unsure("wrong_name", _where(named), named, config)
        nearest = named
    if claim.name and named is None and not _former_name(claim, nearest):
        return "wrong_name", f"{claim.name} is not in the catalogue"
    return _judge_numbers(claim, nearest, config, known_name=named is not None)


def _unless_unsure(
    verdict: str, note: str, known: NearObject, config: CheckConfig
) -> tuple[str, str]:
    """The verdict, unless the object may as well be on the other side of the radius."""
    if abs(known.sep_arcsec - config.radius_arcsec) > 3.0 * known.error_arcsec:
        return verdict, note
    return "none", (
        f"the place of {known.name} is uncertain by {known.error_arcsec:.3g} arcsec "
        "(1 sigma): its orbit is too poor or too far from its epoch to tell"
    )


def _where(named: NearObject) -> str:
    if named.sep_arcsec >= 3600.0:
        return f"{named.name} is {named.sep_arcsec / 3600.0:.1f} deg away"
    return f"{named.name} is {named.sep_arcsec:.1f} arcsec away"


def _former_name(claim: Claim, nearest: NearObject) -> bool:
    """Whether a provisional designation may be what the nearest object was, or is, called.

    The catalogue tells where it gives the designation beside the number. Where it gives a name
    instead: of any object for a survey that calls all by designation; of others only for objects
    that had no number when the survey began, for one that had is called by it.
    """
    key = normalise_name(claim.name)
    if key.isdigit() or not nearest.designation.isdigit():
        return False
    behind = nearest.name.partition(")")[2].strip()
    if behind and any(c.isdigit() for c in behind):
        return any(same_object(behind, key) for key in claim.keys)
    if any(key.isdigit() for key in claim.keys):
        return False  # it tells the number, which is another
    return claim.survey in _BY_DESIGNATION or int(nearest.designation) > _NUMBERED_BEFORE


def _judge_numbers(
    claim: Claim, nearest: NearObject, config: CheckConfig, *, known_name: bool
) -> tuple[str, str]:
    """Verdict on the distance and magnitude of the right object."""
    off_by = abs(claim.distance_arcsec - nearest.sep_arcsec)
    unsure = min(3.0 * nearest.error_arcsec, nearest.sep_arcsec)
    if off_by > config.distance_arcsec + unsure:
        return "wrong_distance", f"off by {off_by:.1f} arcsec"
    if abs(claim.magnitude - nearest.vmag) > config.magnitude:
        return "wrong_magnitude", f"off by {claim.magnitude - nearest.vmag:+.1f} mag"
    if claim.name and not known_name:
        return "agree", f"{claim.name} is not in the catalogue; it may be {nearest.name} by now"
    return "agree", ""
