"""What every classifier promises, and how probabilities become a label.

The modules inside: ``classifier`` (the face, and several heard as one), ``labels`` (when a class is
named), ``mixes`` (shares of the classes on a sky), ``naming`` (all of it, for cutouts).
"""

from streaks.classification.classifier import Classifier, Ensemble, NoveltyClassifier, predict
from streaks.classification.labels import OUTPUTS, LabelRule, labels_from_probabilities, real_bogus
from streaks.classification.mixes import BALANCED_MIX, correct_mix, estimate_mix, parse_mix
from streaks.classification.naming import classify_cutouts
from streaks.tables import CLASSES

__all__ = [
    "BALANCED_MIX",
    "CLASSES",
    "OUTPUTS",
    "Classifier",
    "Ensemble",
    "LabelRule",
    "NoveltyClassifier",
    "classify_cutouts",
    "correct_mix",
    "estimate_mix",
    "labels_from_probabilities",
    "parse_mix",
    "predict",
    "real_bogus",
]
