"""Labelled sets for volunteers: subjects out, their answers back as labels."""

from streaks.labelling.answers import Answers, ModelSaid, read_answers
from streaks.labelling.campaign import Campaign, open_campaign
from streaks.labelling.columns import joined_columns, plain_columns
from streaks.labelling.consensus import (
    ConsensusRules,
    consensus_labels,
    count_votes,
    fit_answers,
    pooled_labels,
)
from streaks.labelling.dawid_skene import PooledVotes, fit_votes, pool_votes
from streaks.labelling.disagreement import disagreements, with_model
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
from streaks.labelling.status import campaign_status
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
    "ConsensusRules",
    "KnownSubjects",
    "Material",
    "ModelSaid",
    "PooledVotes",
    "SubjectSummary",
    "Workflow",
    "campaign_status",
    "ccd_of_image",
    "consensus_labels",
    "count_votes",
    "disagreements",
    "export_set",
    "export_subjects",
    "field_of_image",
    "find_things",
    "fit_answers",
    "fit_votes",
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
    "with_model",
    "workflow_of",
]
