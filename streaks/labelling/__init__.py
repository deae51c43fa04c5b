"""Labelled sets for volunteers: subjects out (and, in time, their answers back)."""

from streaks.labelling.manifest import HIDDEN_COLUMNS, VISIBLE_COLUMNS, manifest_rows
from streaks.labelling.selection import ccd_of_image, select_subjects
from streaks.labelling.subjects import SubjectSummary, export_subjects

__all__ = [
    "HIDDEN_COLUMNS",
    "VISIBLE_COLUMNS",
    "SubjectSummary",
    "ccd_of_image",
    "export_subjects",
    "manifest_rows",
    "select_subjects",
]
