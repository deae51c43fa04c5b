"""Classification exports of simulated campaigns, in Zooniverse's form."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta

COLUMNS = (
    *("classification_id", "user_name", "user_id", "user_ip", "workflow_id", "workflow_name"),
    *("workflow_version", "created_at", "gold_standard", "expert", "metadata", "annotations"),
    *("subject_data", "subject_ids"),
)
WORDS = {
    "asteroid": "Asteroid (short streak)",
    "satellite": "Satellite (long streak, could be partially masked)",
    "masked_star": "Masked bright star",
    "ghost": "Dementors and ghosts",
    "cosmic_ray": "Cosmic rays",
    "naked_star": "Naked stars",
    "yin_yang": "Yin-Yang (multiple badly subtracted stars)",
    "skip": 'Skip (includes "not sure" and seemingly blank images)',
    "unresolved": "Unresolved (a dot, no longer than a star)",
    "real": "Real (an asteroid or a satellite)",
    "bogus": "Bogus (anything else)",
}
START = datetime(2026, 3, 1, tzinfo=UTC)


def vote(user, subject, label, *, workflow="7", day=0.0, **about):
    """One row: what a user called a subject. `about` is its metadata."""
    about = {"filename": f"{subject}.png", "#streak_id": f"streak-{subject}"} | about
    return {
        "user_name": user,
        "user_ip": "0123abcd",
        "workflow_id": workflow,
        "created_at": (START + timedelta(days=day)).strftime("%Y-%m-%d %H:%M:%S UTC"),
        "annotations": json.dumps([{"task": "T0", "value": WORDS.get(label, label)}]),
        "subject_data": json.dumps({str(subject): about}),
        "subject_ids": str(subject),
    }


def write_export(path, rows):
    """A CSV file of such rows."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return path


def simulated_rows(made, names, *, streak_ids=None, days=14):
    """Rows of a campaign that `benchmarks.labels.simulate` made."""
    rows = []
    votes = zip(made.subject, made.volunteer, made.answer, strict=True)
    for i, (subject, volunteer, answer) in enumerate(votes):
        about = {} if streak_ids is None else {"#streak_id": streak_ids[subject]}
        if int(subject) in made.gold:
            about["#training_subject"] = "true"
            about["#truth"] = names[made.gold[int(subject)]]
        day = days * i / len(made.subject)
        rows.append(vote(f"person-{volunteer}", 1000 + subject, names[answer], day=day, **about))
    return rows
