"""Labelled sets for volunteers: subjects out, their answers back as labels."""

from streaks.labelling.answers import Answers, consensus_labels, pooled_labels, read_answers
from streaks.labelling.dawid_skene import pool_votes
from streaks.labelling.manifest import HIDDEN_COLUMNS, VISIBLE_COLUMNS, manifest_rows
from streaks.labelling.selection import ccd_of_image, select_subjects
from streaks.labelling.subjects import SubjectSummary, export_subjects

__all__ = [
    "HIDDEN_COLUMNS",
    "VISIBLE_COLUMNS",
    "Answers",
    "SubjectSummary",
    "ccd_of_image",
    "consensus_labels",
    "export_subjects",
    "manifest_rows",
    "pool_votes",
    "pooled_labels",
    "read_answers",
    "select_subjects",
]
