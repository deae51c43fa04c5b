"""How the classes are mixed on a sky: read, corrected for, estimated."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.classification.labels import OUTPUTS
from streaks.errors import ConfigError
from streaks.tables import ASTREAKS_MIX

__all__ = ["BALANCED_MIX", "correct_mix", "estimate_mix", "parse_mix"]

#: As many of each class, and as many blanks: what classifiers are trained on.
BALANCED_MIX: Mapping[str, float] = {label: 1.0 / len(OUTPUTS) for label in OUTPUTS}


def parse_mix(text: str | Mapping[str, float] | None) -> Mapping[str, float]:
    """Shares of the classes from a name, a text like ``asteroid=0.5,ghost=0.5``, or a mapping.

    Parameters
    ----------
    text
        ``balanced`` (as None), ``astreaks``, ``class=share,...``, or shares by class. Classes
        that are not named have no share.

    Returns
    -------
    Mapping
        Shares that sum to 1.

    Raises
    ------
    ConfigError
        For an unknown class, a share that is no number or negative, or shares that are all 0.
    """
    if text is None or text == "balanced":
        return BALANCED_MIX
    if text == "astreaks":
        return _checked_mix(ASTREAKS_MIX)
    if isinstance(text, str):
        return _checked_mix(dict(_parse_share(item) for item in text.split(",") if item.strip()))
    return _checked_mix(text)


def _parse_share(item: str) -> tuple[str, float]:
    name, _, share = item.partition("=")
    try:
        return name.strip(), float(share)
    except ValueError:
        raise ConfigError(
            f"mix has {item.strip()!r}; expected balanced, astreaks, or class=share,class=share"
        ) from None


def _checked_mix(mix: Mapping[str, float]) -> Mapping[str, float]:
    unknown = sorted(set(mix) - set(OUTPUTS))
    if unknown:
        raise ConfigError(
            f"mix names {', '.join(unknown)}; the classes are {', '.join(sorted(OUTPUTS))}"
        )
    bad = [f"{name}={share}" for name, share in mix.items() if not 0 <= share < math.inf]
    total = sum(mix.values())
    if bad or not total > 0:
        raise ConfigError(
            f"shares of a mix must be numbers of 0 or more, not all 0; got {', '.join(bad) or mix}"
        )
    return {name: share / total for name, share in mix.items()}


def correct_mix(
    probabilities: NDArray[Any],
    mix: Mapping[str, float],
    trained: Mapping[str, float] | None = None,
) -> NDArray[np.float64]:
    """Probabilities for a sky where the classes are mixed otherwise than in training.

    Parameters
    ----------
    probabilities : (n, 8)
        Of a classifier trained on the mix ``trained``.
    mix, trained
        Share of each output; those not named have none. Training is balanced when not given.

    Returns
    -------
    (n, 8) float64
        Rows sum to 1; a row where no output with a share had any probability is uniform.

    Raises
    ------
    ConfigError
        If a share is negative, all are 0, or a name is no output.

    References
    ----------
    Saerens, Latinne & Decaestecker 2002, Neural Computation 14, 21, section 2.1.
    """
    ratio = _shares(mix) / (1.0 / len(OUTPUTS) if trained is None else _shares(trained))
    p = np.asarray(probabilities, dtype=float) * ratio
    total = p.sum(axis=1, keepdims=True)
    result: NDArray[np.float64] = np.divide(
        p, total, out=np.full_like(p, 1.0 / len(OUTPUTS)), where=total > 0
    )
    return result


def _shares(mix: Mapping[str, float]) -> NDArray[np.float64]:
    unknown = sorted(set(mix) - set(OUTPUTS))
    shares = np.array([float(mix.get(name, 0.0)) for name in OUTPUTS])
    if unknown or not (shares >= 0).all() or not shares.sum() > 0:
        raise ConfigError(
            f"mix is {dict(mix)}; expected shares of 0 or more, not all 0, of {', '.join(OUTPUTS)}"
        )
    result: NDArray[np.float64] = shares / shares.sum()
    return result


def estimate_mix(probabilities: NDArray[Any], *, n_steps: int = 100) -> dict[str, float]:
    """The mix of classes under which the probabilities of many cutouts agree with themselves.

    Parameters
    ----------
    probabilities : (n, 8)
        Of a classifier trained on a balanced mix; calibrated, or the answer is worthless.
    n_steps
        Of expectation and maximisation.

    Returns
    -------
    dict
        Share of each of `OUTPUTS`, summing to 1; equal shares where there are no cutouts.

    References
    ----------
    Saerens, Latinne & Decaestecker 2002, Neural Computation 14, 21, section 2.2.
    """
    shares = np.full(len(OUTPUTS), 1.0 / len(OUTPUTS))
    for _ in range(n_steps if len(probabilities) else 0):
        p = correct_mix(probabilities, dict(zip(OUTPUTS, shares.tolist(), strict=True)))
        shares = p.mean(axis=0)
    return dict(zip(OUTPUTS, shares.tolist(), strict=True))
