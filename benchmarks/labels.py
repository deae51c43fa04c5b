"""How right pooled votes are, on simulated volunteers.

    python -m benchmarks.labels [--seeds 20] [--first-seed 0] [--subjects 2000] [--volunteers 100]
        [-o out.json] [--docs docs/labels_import.md]

Subjects come in the mix of the AStreaks project's own answers. Each volunteer has a skill (mean
0.70, standard deviation 0.15 from one to the next) that differs a little by class; three quarters
of what is wrong goes to a class's twin (asteroid and satellite, ghost and skip, yin-yang and naked
star), the rest evenly to the others, as all does of classes without a twin. Few volunteers give
most of the answers (log-normal, 1.0 in the natural logarithm). Each subject gets 3, 5 or 9 votes of
different people. The truth of a tenth of the subjects, drawn at random, is told to the estimator;
figures are of the other nine tenths only.

*Best possible* is Bayes' rule with each volunteer's true table and the true mix: no method that
sees votes alone does better on average. Nothing here is shared with the estimator; its constants
were chosen on seeds from 5000 on, and these figures are of others.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Simulated", "main", "measure", "simulate"]

NAMES = (
    "asteroid", "satellite", "masked_star", "ghost", "cosmic_ray", "naked_star", "yin_yang", "skip",
)  # fmt: skip
#: The AStreaks project's answers for 2287 cutouts; it counted naked stars with masked stars.
MIX = (0.002, 0.027, 0.40, 0.076, 0.007, 0.13, 0.178, 0.18)
TWINS = (("asteroid", "satellite"), ("ghost", "skip"), ("yin_yang", "naked_star"))
RIGHT, SPREAD, TO_TWIN = 0.70, 0.15, 0.75
#: How a volunteer's skill differs from class to class: concentration of a beta distribution.
BY_CLASS = 40.0
GOLD = 0.10
VOTES = (3, 5, 9)
WANTED = {3: 0.90, 5: 0.95, 9: 0.985}


@dataclass(frozen=True, eq=False)
class Simulated:
    """A campaign: votes, and what is behind them.

    Parameters
    ----------
    truth : (n_subjects,) int
        Index in `NAMES`.
    subject, volunteer, answer : (n_votes,) int
        The votes.
    tables : (n_volunteers, 8, 8)
        What each volunteer says (last axis) to each class.
    gold : dict
        Truth by subject, where it is told.
    """

    truth: NDArray[np.int64]
    subject: NDArray[np.int64]
    volunteer: NDArray[np.int64]
    answer: NDArray[np.int64]
    tables: NDArray[np.float64]
    gold: dict[int, int]


def simulate(
    n_subjects: int,
    n_votes: int,
    seed: int,
    *,
    n_volunteers: int = 100,
    gold: float = GOLD,
    right: float = RIGHT,
    spread: float = SPREAD,
    mix: Sequence[float] = MIX,
) -> Simulated:
    """Volunteers' votes on subjects of AStreaks' mix.

    Parameters
    ----------
    n_subjects, n_votes, n_volunteers
        How many; each subject gets `n_votes` of different volunteers.
    seed
        The same seed gives the same votes.
    gold
        Share of subjects whose truth is told.
    right, spread
        Mean and standard deviation of volunteers' skill.
    mix
        Shares of `NAMES`.

    Returns
    -------
    Simulated
    """
    rng = np.random.default_rng(seed)
    eagerness = rng.lognormal(0.0, 1.0, n_volunteers)
    tables = _tables(rng, eagerness, right, spread)
    truth = rng.choice(len(NAMES), n_subjects, p=np.array(mix) / np.sum(mix))
    # The largest of perturbed logarithms are a draw without replacement in those proportions.
    order = np.log(eagerness) + rng.gumbel(size=(n_subjects, n_volunteers))
    volunteer = np.argsort(-order, axis=1)[:, :n_votes].ravel()
    subject = np.repeat(np.arange(n_subjects), n_votes)
    drawn = rng.random(len(subject))[:, None]
    answer = (tables[volunteer, truth[subject]].cumsum(axis=1) < drawn).sum(axis=1)
    told = rng.choice(n_subjects, round(gold * n_subjects), replace=False)
    return Simulated(
        truth=truth,
        subject=subject,
        volunteer=volunteer,
        answer=np.minimum(answer, len(NAMES) - 1),
        tables=tables,
        gold={int(i): int(truth[i]) for i in told},
    )


def _tables(
    rng: np.random.Generator, eagerness: NDArray[np.float64], right: float, spread: float
) -> NDArray[np.float64]:
    concentration, n = right * (1 - right) / spread**2 - 1, len(eagerness)
    skill = rng.beta(right * concentration, (1 - right) * concentration, n)
    # One eager volunteer would move the mean of a whole campaign: it is put where it is said to be.
    for _ in range(20):
        skill = np.clip(skill + right - np.average(skill, weights=eagerness), 0.05, 0.995)
    by_class = rng.beta(skill[:, None] * BY_CLASS, (1 - skill[:, None]) * BY_CLASS, (n, len(NAMES)))
    k = len(NAMES)
    wrong = np.full((k, k), 1.0 / (k - 1))
    for pair in TWINS:
        for one, other in (pair, pair[::-1]):
            row = wrong[NAMES.index(one)]
            row[:] = (1 - TO_TWIN) / (k - 2)
            row[NAMES.index(other)] = TO_TWIN
    np.fill_diagonal(wrong, 0.0)
    own = np.eye(k) * by_class[:, :, None]
    result: NDArray[np.float64] = own + (1 - by_class[:, :, None]) * wrong
    return result


def measure(
    n_subjects: int, n_votes: int, seed: int, *, n_volunteers: int = 100
) -> dict[str, float]:
    """Accuracy on subjects of untold truth, of one campaign.

    Parameters
    ----------
    n_subjects, n_votes, n_volunteers, seed
        As `simulate` takes them.

    Returns
    -------
    dict
        ``pooled`` (Dawid-Skene with gold), ``whole`` (the same, known subjects counted too),
        ``blind`` (without), ``majority`` (ties at random),
        ``best`` (Bayes' rule), ``right`` (single votes), ``error`` (how far stated probabilities
        are from the share that is right).
    """
    from streaks.labelling import pool_votes

    made = simulate(n_subjects, n_votes, seed, n_volunteers=n_volunteers)
    asked = np.setdiff1d(np.arange(n_subjects), list(made.gold))
    size: dict[str, Any] = {"n_subjects": n_subjects, "n_classes": len(NAMES)}
    votes = (made.subject, made.volunteer, made.answer)
    p = pool_votes(*votes, gold=made.gold, **size)
    blind = pool_votes(*votes, **size)
    rng = np.random.default_rng([seed, 1])
    counts = np.zeros((n_subjects, len(NAMES)))
    np.add.at(counts, (made.subject, made.answer), 1.0)
    majority = (counts + rng.random(counts.shape) / 2).argmax(axis=1)
    true = made.truth[asked]
    return {
        "pooled": float(np.mean(p.argmax(axis=1)[asked] == true)),
        "whole": float(np.mean(p.argmax(axis=1) == made.truth)),
        "blind": float(np.mean(blind.argmax(axis=1)[asked] == true)),
        "majority": float(np.mean(majority[asked] == true)),
        "best": float(np.mean(_best(made)[asked] == true)),
        "right": float(np.mean(made.answer == made.truth[made.subject])),
        "error": _calibration_error(p[asked], true),
    }


def _best(made: Simulated) -> NDArray[np.int64]:
    log_p = np.tile(np.log(np.array(MIX) / np.sum(MIX)), (len(made.truth), 1))
    np.add.at(log_p, made.subject, np.log(made.tables[made.volunteer, :, made.answer] + 1e-12))
    result: NDArray[np.int64] = log_p.argmax(axis=1)
    return result


def _calibration_error(p: NDArray[np.float64], true: NDArray[np.int64]) -> float:
    """Expected calibration error of the best class, in ten equal bins."""
    top, right = p.max(axis=1), p.argmax(axis=1) == true
    bins = np.minimum((top * 10).astype(int), 9)
    return float(
        sum(
            abs(right[bins == b].mean() - top[bins == b].mean()) * np.mean(bins == b)
            for b in np.unique(bins)
        )
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.labels", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--subjects", type=int, default=2000)
    parser.add_argument("--volunteers", type=int, default=100)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--docs", type=Path, help="document whose marked block is written anew")
    given = parser.parse_args(argv)
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    figures = {
        n: [measure(given.subjects, n, seed, n_volunteers=given.volunteers) for seed in seeds]
        for n in VOTES
    }
    text = _text(figures, given.subjects, given.volunteers, seeds)
    print(text)
    if given.output:
        given.output.write_text(json.dumps(figures, indent=1) + "\n")
    if given.docs:
        from benchmarks.detection_figures import rewrite_block

        rewrite_block(given.docs, "benchmarks.labels", text)
    return 0


def _text(
    figures: dict[int, list[dict[str, float]]], n_subjects: int, n_volunteers: int, seeds: range
) -> str:
    head = "| votes | wanted | whole campaign | untold, 10 % gold | untold, no gold | majority | "
    lines = [
        f"{n_subjects} subjects, {n_volunteers} volunteers, seeds {seeds[0]} to {seeds[-1]}: mean "
        "accuracy (95 % interval of the mean; worst seed). The whole campaign counts the told "
        "tenth too; all other columns are of the subjects of untold truth.",
        "",
        head + "least lead over it | best possible | calibration error |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for n, runs in figures.items():
        column = {key: np.array([run[key] for run in runs]) for key in runs[0]}
        lead = (column["pooled"] - column["majority"]).min()
        lines.append(
            f"| {n} | {WANTED[n]} | {_interval(column['whole'])}; {column['whole'].min():.3f} | "
            f"{_interval(column['pooled'])}; {column['pooled'].min():.3f} | "
            f"{_interval(column['blind'])} | {_interval(column['majority'])} | {lead:+.4f} | "
            f"{_interval(column['best'])} | {column['error'].mean():.3f} |"
        )
    right = np.mean([run["right"] for runs in figures.values() for run in runs])
    return "\n".join([*lines, "", f"Single votes were right {right:.1%} of the time."])


def _interval(values: NDArray[np.float64]) -> str:
    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return f"{values.mean():.3f} ({values.mean() - half:.3f} to {values.mean() + half:.3f})"


if __name__ == "__main__":
    raise SystemExit(main())
