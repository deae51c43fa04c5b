"""All evidence of a streak weighed into one number, its reasons in words, and its group.

`frame_evidence` gathers what a frame's pixels tell while they are in memory; `judge_streaks` brings
it together with everything else that a run knows: classes, neighbours, other exposures.
"""

from streaks.verdict.evidence import EVIDENCE_COLUMNS, EVIDENCE_PREFIX, frame_evidence
from streaks.verdict.exposures import Exposure
from streaks.verdict.judging import (
    LINES_AT,
    Line,
    candidates_in_words,
    count_candidates,
    expected_lines,
    judge_streaks,
    without_evidence,
)
from streaks.verdict.weighing import VerdictModel, expected_false

__all__ = [
    "EVIDENCE_COLUMNS",
    "EVIDENCE_PREFIX",
    "LINES_AT",
    "Exposure",
    "Line",
    "VerdictModel",
    "candidates_in_words",
    "count_candidates",
    "expected_false",
    "expected_lines",
    "frame_evidence",
    "judge_streaks",
    "without_evidence",
]
