"""The classifiers that come with Streaks: how they are trained, kept, loaded and judged.

Any object with the face of `streaks.classification.Classifier` may stand in their place.
"""

from __future__ import annotations

from streaks.lazy import lazy_face

if __name__ != "streaks.models":
    # The link in a checkout's top folder leads here too; a second copy of every module would
    # follow.
    raise ImportError(f"{__name__} is a link to streaks.models; write: import streaks.models")

_FACE = {
    "Evaluation": "evaluation",
    "OnnxClassifier": "onnx_classifier",
    "StackedClassifier": "stacking",
    "TrainedModel": "store",
    "evaluate_classifier": "evaluation",
    "load_classifier": "loading",
    "recalibrate_network": "recalibration",
    "save_model": "store",
    "shipped_names": "store",
    "train_cnn": "network",
    "train_ensemble": "pooling",
    "train_forest": "forest",
    "train_stack": "boosting",
}

__all__ = sorted(_FACE)

__getattr__, __dir__ = lazy_face(__name__, _FACE)
