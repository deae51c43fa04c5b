"""A local page on which people judge a night's candidates by keyboard, and what comes of it."""

from streaks.labelling.agreement import Agreement, PairAgreement, agreement_of
from streaks.vetting.candidates import Candidates, read_candidates
from streaks.vetting.gate import Gate, is_loopback, make_gate
from streaks.vetting.journal import Journal, Judgement, open_journal
from streaks.vetting.server import build_app, listening, require_web, serve
from streaks.vetting.standing import Standing, accepted_ades, labels_table, standing_of

__all__ = [
    "Agreement",
    "Candidates",
    "Gate",
    "Journal",
    "Judgement",
    "PairAgreement",
    "Standing",
    "accepted_ades",
    "agreement_of",
    "build_app",
    "is_loopback",
    "labels_table",
    "listening",
    "make_gate",
    "open_journal",
    "read_candidates",
    "require_web",
    "serve",
    "standing_of",
]
