"""Labelled sets for volunteers: subjects out, their answers back as labels."""

from streaks.labelling.answers import Answers, ModelSaid, read_answers
from streaks.labelling.consensus import (
    ConsensusRules,
    consensus_labels,
    count_votes,
    fit_answers,
    pooled_labels,
)
from streaks.labelling.dawid_skene import PooledVotes, fit_votes, pool_votes
from streaks.labelling.disagreement import disagreements, with_model
from streaks.labelling.manifest import HIDDEN_COLUMNS, VISIBLE_COLUMNS, manifest_rows
from streaks.labelling.selection import ccd_of_image, select_subjects
from streaks.labelling.status import campaign_status
from streaks.labelling.subjects import SubjectSummary, export_subjects

__all__ = [
    "HIDDEN_COLUMNS",
    "VISIBLE_COLUMNS",
    "Answers",
    "ConsensusRules",
    "ModelSaid",
    "PooledVotes",
    "SubjectSummary",
    "campaign_status",
    "ccd_of_image",
    "consensus_labels",
    "count_votes",
    "disagreements",
    "export_subjects",
    "fit_answers",
    "fit_votes",
    "manifest_rows",
    "pool_votes",
    "pooled_labels",
    "read_answers",
    "select_subjects",
    "with_model",
]
