"""Labelled sets for volunteers: subjects out, their answers back as labels."""

from streaks.labelling.answers import Answers, consensus_labels, pooled_labels, read_answers
from streaks.labelling.campaign import Campaign, open_campaign
from streaks.labelling.columns import joined_columns, plain_columns
from streaks.labelling.dawid_skene import pool_votes
from streaks.labelling.field_guide import KnownSubjects
from streaks.labelling.manifest import HIDDEN_COLUMNS, TRAINING_COLUMNS, VISIBLE_COLUMNS
from streaks.labelling.selection import (
    ccd_of_image,
    field_of_image,
    model_disagreement,
    parse_band,
    parse_shares,
    select_subjects,
)
from streaks.labelling.subjects import (
    Material,
    SubjectSummary,
    export_set,
    export_subjects,
    pixels_key,
)
from streaks.labelling.things import find_things
from streaks.labelling.workflows import WORKFLOWS, Workflow, workflow_of

__all__ = [
    "HIDDEN_COLUMNS",
    "TRAINING_COLUMNS",
    "VISIBLE_COLUMNS",
    "WORKFLOWS",
    "Answers",
    "Campaign",
    "KnownSubjects",
    "Material",
    "SubjectSummary",
    "Workflow",
    "ccd_of_image",
    "consensus_labels",
    "export_set",
    "export_subjects",
    "field_of_image",
    "find_things",
    "joined_columns",
    "model_disagreement",
    "open_campaign",
    "parse_band",
    "parse_shares",
    "pixels_key",
    "plain_columns",
    "pool_votes",
    "pooled_labels",
    "read_answers",
    "select_subjects",
    "workflow_of",
]
