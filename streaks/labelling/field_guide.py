"""A field guide for volunteers: what each answer looks like, with pictures of known truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from streaks.cutouts import Cutouts
from streaks.errors import TableError
from streaks.geometry import Segment
from streaks.labelling.workflows import REAL, Workflow
from streaks.tables import SKIP, UNRESOLVED

__all__ = ["GUIDE_FILE", "GUIDE_FOLDER", "KnownSubjects", "write_field_guide"]

GUIDE_FILE, GUIDE_FOLDER = "field_guide.md", "field_guide"

#: One line a class; words of the field, for people who have never seen such pictures.
_WORDS = {
    "asteroid": "A short, straight, even line. Both ends lie inside the picture, and it is as soft "
    "across as the stars are. Nothing stands at its place in the reference.",
    "satellite": "A long straight line that leaves the picture on at least one side. It may be "
    "dashed, where the satellite flashes, and parts of it may be masked.",
    "masked_star": "A flat masked block or column at a bright star, often with ripples, a "
    "checkered rim, a halo, or straight spikes going out from it.",
    "ghost": "Light that went astray in the telescope: rings, doughnuts, smooth blobs and arcs, "
    "or folded veils and fans of several broad lines.",
    "cosmic_ray": "A particle that hit the detector: razor sharp, often one pixel wide, sometimes "
    "bent like a worm.",
    "naked_star": "A star that was not subtracted: a round white or black dot, one or many.",
    "yin_yang": "A star subtracted slightly beside its place: white on one side, black on the "
    "other; often several, sometimes lined up so that they look like a streak.",
    UNRESOLVED: "A single dot at the ticks, no longer than a star is wide.",
    SKIP: "Blank noise, a gradient, the edge of the chip, or nothing you can name.",
}


@dataclass(frozen=True, eq=False)
class KnownSubjects:
    """Cutouts of known truth.

    Parameters
    ----------
    cutouts
        One each.
    labels
        Class of each (`streaks.tables.LABELS`).
    ends
        Of the streak in the cutout, 0-based px; None where it is no line.
    draw
        PNG of several cutouts side by side, for a page; only what a field guide shows has one.
    """

    cutouts: Cutouts
    labels: Sequence[str]
    ends: Sequence[Segment | None]
    draw: Callable[[Sequence[int]], bytes] | None = None

    def __post_init__(self) -> None:
        if not len(self.cutouts) == len(self.labels) == len(self.ends):
            raise TableError(
                f"{len(self.cutouts)} cutouts, {len(self.labels)} labels and {len(self.ends)} "
                "pairs of ends; give one of each a subject"
            )


def write_field_guide(folder: Path, examples: KnownSubjects, workflow: Workflow) -> None:
    """Write the guide: a Markdown file, and a picture a class.

    Parameters
    ----------
    folder
        Of the set.
    examples
        Several of each class, in any order, with `KnownSubjects.draw`.
    workflow
        The question that the guide is for.
    """
    pictures = folder / GUIDE_FOLDER
    pictures.mkdir()
    lines = [
        "# Field guide",
        "",
        "One entry of the project's field guide a class. The pictures are synthetic: what they "
        "show is known. Ticks point at the streak that is meant.",
        "",
    ]
    labels = [str(label) for label in examples.labels]
    for name, words in _WORDS.items():
        if workflow.index_of(name) < 0:
            continue
        lines += [f"## {name.replace('_', ' ').capitalize()}", "", words, ""]
        if any(answer.label == REAL for answer in workflow.answers):
            lines += [f"The answer is *{workflow.answers[workflow.index_of(name)].text}*.", ""]
        places = [i for i, label in enumerate(labels) if label == name]
        if places and examples.draw is not None:
            (pictures / f"{name}.png").write_bytes(examples.draw(places))
            lines += [f"![{name.replace('_', ' ')}]({GUIDE_FOLDER}/{name}.png)", ""]
    (folder / GUIDE_FILE).write_text("\n".join(lines), encoding="utf-8")
