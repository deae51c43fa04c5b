"""A folder of subjects: pictures, what volunteers see beside them, and words for the project."""

from __future__ import annotations

import csv
import fcntl
import glob
import hashlib
import json
import logging
import os
import re
import shutil
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from streaks.config import LabelConfig
from streaks.cutouts import Cutouts
from streaks.disk import folder_written_whole
from streaks.errors import ConfigError, InputError
from streaks.geometry import Segment
from streaks.labelling.campaign import SET_FILE, Campaign, Shown, open_campaign, set_at
from streaks.labelling.columns import Columns, length_of, plain_columns, texts
from streaks.labelling.field_guide import KnownSubjects, write_field_guide
from streaks.labelling.manifest import (
    FILE_COLUMN,
    HIDDEN_COLUMNS,
    TRAINING_COLUMNS,
    VISIBLE_COLUMNS,
    altered_names,
    centre_counts,
    hidden_cells,
    training_cells,
    visible_cells,
)
from streaks.labelling.selection import ranked, select_rows, shared_out
from streaks.labelling.things import find_things
from streaks.labelling.workflows import (
    Workflow,
    builder_json,
    builder_page,
    question_json,
    workflow_of,
)

__all__ = [
    "MANIFEST",
    "Draw",
    "Material",
    "SubjectSummary",
    "check_target",
    "export_set",
    "export_subjects",
    "pixels_key",
    "subject_filename",
]

#: PNG bytes by heading of the manifest, of one cutout (a stack of one) with panels of a given side
#: and the ends to mark, in the cutout's pixels.
Draw = Callable[[Cutouts, int, Segment | None], Mapping[str, bytes]]
#: So many subjects of known truth, of a side in px, from a seed.
MakeKnown = Callable[[int, int, int], KnownSubjects]

_log = logging.getLogger(__name__)

Given = TypeVar("Given")
Made = TypeVar("Made")

#: Zooniverse takes no larger file; a megabyte is meant as 10**6, the stricter reading.
_MAX_BYTES = 1_000_000
MANIFEST, _QUESTION = "manifest.csv", "question.json"
_TEXTS = ("README.md", "tutorial.md")
#: What `streaks labels upload` leaves in a set.
_UPLOADED = "upload.sqlite"
_SMALLEST_PX = 64
#: Stands in a folder while an export writes it.
_AT_WORK = ".streaks-export"


@dataclass(frozen=True, eq=False)
class Material:
    """What subjects can be made of.

    Parameters
    ----------
    columns
        Plain values, one row a streak.
    read
        Takes row numbers, and gives those whose cutouts are there, each with its cutout (a stack
        of one), in any order. Only a few need be in memory at once.
    """

    columns: Columns
    read: Callable[[NDArray[np.int64]], Iterable[tuple[int, Cutouts]]]


@dataclass(frozen=True)
class SubjectSummary:
    """What an export wrote.

    Parameters
    ----------
    path
        The set's folder.
    n_subjects
        Lines of the manifest.
    by_label
        Subjects by the classifier's class (``unknown`` where not classified).
    left_out
        Streaks that did not become subjects, by reason.
    largest_bytes
        Size of the largest picture.
    n_gold
        Subjects of known truth among them.
    n_pictures
        Files of pictures.
    """

    path: Path
    n_subjects: int
    by_label: Mapping[str, int]
    left_out: Mapping[str, int]
    largest_bytes: int
    n_gold: int = 0
    n_pictures: int = 0


def export_subjects(
    streaks: QTable,
    cutouts: Cutouts | Iterable[Cutouts],
    out_dir: str | os.PathLike[str],
    config: LabelConfig | None = None,
    *,
    draw: Draw,
    overwrite: bool = False,
) -> SubjectSummary:
    """Write a subject set from a table and its cutouts, whole or not at all.

    Parameters
    ----------
    streaks
        A night's streaks with class and match columns.
    cutouts
        One stack, or one a frame; joined by ``streak_id``. Only one is held at a time.
    out_dir
        A new or empty folder.
    config
        Which streaks, and how large.
    draw
        As for `export_set`.
    overwrite
        Replace a set that is there. A folder that holds no set is never replaced.

    Returns
    -------
    SubjectSummary

    Raises
    ------
    InputError
        When `out_dir` holds something, nothing was selected, or a selected streak cannot be
        drawn within a megabyte.
    """
    columns = plain_columns(streaks)
    names = texts(columns, "streak_id", len(streaks)).tolist()

    def read(rows: NDArray[np.int64]) -> Iterator[tuple[int, Cutouts]]:
        wanted = {names[row]: int(row) for row in rows}
        for stack in [cutouts] if isinstance(cutouts, Cutouts) else cutouts:
            for i, name in enumerate(stack.names):
                if name in wanted:
                    yield wanted.pop(name), stack.select(np.array([i]))

    return export_set(Material(columns, read), out_dir, config, draw=draw, overwrite=overwrite)


def export_set(
    material: Material,
    out_dir: str | os.PathLike[str],
    config: LabelConfig | None = None,
    *,
    draw: Draw,
    campaign: str | os.PathLike[str] | None = None,
    make_known: MakeKnown | None = None,
    examples: KnownSubjects | None = None,
    overwrite: bool = False,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> SubjectSummary:
    """Write a subject set, whole or not at all.

    Parameters
    ----------
    material
        Streaks and their cutouts.
    out_dir
        A new or empty folder. Gets ``manifest.csv``, one PNG a picture, and what the project's
        builder needs: question, answers, workflow, tutorial, field guide.
    config
        Which question, which streaks, and how they are drawn.
    draw
        Draws one subject (`streaks.plotting.subject_pictures`); asked again for smaller panels
        when a picture is larger than Zooniverse takes.
    campaign
        Folder of the ledger of all sets: no thing that is in one is exported again.
    make_known
        Makes subjects of known truth; needed where `config.gold` is above 0.
    examples
        Pictures for the field guide; none is written without.
    overwrite
        Replace a set that is there. A folder that holds no set, or one of which anything was
        uploaded, is never replaced.
    workers
        Threads that draw.
    progress
        Called with the number of subjects drawn so far, and of all.

    Returns
    -------
    SubjectSummary

    Raises
    ------
    ConfigError
        If `workers` is below 1.
    InputError
        When `out_dir` holds something, nothing was selected, or a selected streak cannot be
        drawn within a megabyte.
    LedgerError
        If the campaign's ledger cannot be used.
    """
    config = LabelConfig() if config is None else config
    if workers < 1:
        raise ConfigError(f"workers is {workers}; at least 1")
    target = Path(out_dir)
    check_target(target, overwrite)
    with nullcontext() if campaign is None else open_campaign(campaign) as ledger:
        replaced = set_at(target)
        rows, things, left_out = _chosen(material.columns, config, ledger, replaced)
        if not len(rows):
            raise InputError(_nothing(length_of(material.columns), left_out))
        writer = _Writer(material.columns, config, draw, progress, ledger, workers)
        _clear_away(target)
        with folder_written_whole(target, replace=True) as part, _at_work(part):
            writer.write(part, material, rows, make_known)
            missing = len(rows) - len(writer.streaks)
            if not writer.streaks:
                raise InputError(
                    f"none of the {len(rows)} selected streaks has a cutout; run the night again"
                )
            set_id = _write_about(part, writer, config, examples)
            if ledger is not None:
                shown = _shown(writer.subjects, things, material.columns)
                ledger.begin(
                    set_id, target, config.workflow, shown, material.columns, instead_of=replaced
                )
        if ledger is not None:
            ledger.finish(set_id)
    if changed := altered_names(material.columns, [one.row for one in writer.streaks]):
        _log.warning(
            "%d names of streaks are altered in %s, where a name is one printable line; their "
            "labels come back under the altered names (the first was %r)",
            len(changed), MANIFEST, changed[0],
        )  # fmt: skip
    return SubjectSummary(
        path=target,
        n_subjects=len(writer.subjects),
        by_label=_by_label(material.columns, [one.row for one in writer.streaks]),
        left_out={**left_out, **({"no cutout": missing} if missing else {})},
        largest_bytes=max(one.largest_bytes for one in writer.subjects),
        n_gold=len(writer.subjects) - len(writer.streaks),
        n_pictures=sum(len(one.files) for one in writer.subjects),
    )


def subject_filename(name: str) -> str:
    """A file name that Zooniverse and every file system take.

    Letters, digits, ``._-`` stay; a name that had to change gets some of its hash, so that two
    names never become one.

    Parameters
    ----------
    name
        Any text.

    Returns
    -------
    str
        With the suffix ``.png``.
    """
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-")[:100]
    if safe != name or not safe:
        told = name.encode("utf-8", "surrogatepass")
        safe = f"{safe or 'subject'}-{hashlib.sha256(told).hexdigest()[:8]}"
    return f"{safe}.png"


def pixels_key(difference: NDArray[Any], mask: NDArray[np.bool_]) -> str:
    """A hash of what a cutout shows, which a copy under another name has too.

    Parameters
    ----------
    difference, mask : (size, size)
        Of the cutout.

    Returns
    -------
    str
    """
    shown = np.where(mask, np.float32(0), difference).astype("<f4")
    return hashlib.sha256(repr(shown.shape).encode() + shown.tobytes()).hexdigest()[:32]


# ---------------------------------------------------------------------------------------------


@contextmanager
def _at_work(part: Path) -> Iterator[None]:
    """A locked file in the folder that is being written: a kill frees the lock."""
    marker = part / _AT_WORK
    with marker.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
        marker.unlink()


def _clear_away(target: Path) -> None:
    """Remove what killed exports to the same place left; nobody else's folder is touched."""
    for marker in target.parent.glob(f".{glob.escape(target.name[:40])}-*.part/{_AT_WORK}"):
        with suppress(OSError), marker.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(marker.parent)


@dataclass(frozen=True)
class _Subject:
    """A line of the manifest: a row of the table, or one of known truth (row -1)."""

    key: str
    name: str
    files: Mapping[str, str]
    cells: Mapping[str, str]
    largest_bytes: int
    row: int = -1
    truth: str = ""


def _chosen(
    columns: Columns, config: LabelConfig, ledger: Campaign | None, replaced: str
) -> tuple[NDArray[np.int64], NDArray[np.int64], dict[str, int]]:
    """Rows to draw in the table's order, the thing of each row, and what was left out."""
    rows, left_out = select_rows(columns, config)
    things = find_things(columns, config.near_px)
    rows = ranked(columns, rows, config)
    _, first = np.unique(things[rows], return_index=True)
    one_each = rows[np.sort(first)]
    _count(left_out, "of the same thing as another", len(rows) - len(one_each))
    if ledger is not None:
        shown = ledger.shown(columns, config.near_px, but_of=replaced)
        before = np.zeros(length_of(columns), bool)
        np.logical_or.at(before, things, shown)
        fresh = one_each[~before[things[one_each]]]
        _count(left_out, "exported before in this campaign", len(one_each) - len(fresh))
        one_each = fresh
    chosen = shared_out(columns, one_each, config)
    reason = "beyond the mix or the limit" if config.mix else "beyond the limit"
    _count(left_out, reason, len(one_each) - len(chosen))
    return np.sort(chosen), things, left_out


def _count(left_out: dict[str, int], reason: str, n: int) -> None:
    if n:
        left_out[reason] = n


class _Writer:
    """Draws subjects into a folder, and holds what the manifest says of them."""

    def __init__(
        self,
        columns: Columns,
        config: LabelConfig,
        draw: Draw,
        progress: Callable[[int, int], None] | None,
        ledger: Campaign | None,
        workers: int,
    ) -> None:
        self._workers = workers
        self._columns, self._config, self._draw = columns, config, draw
        self._progress = progress or (lambda done, total: None)
        self._turn = 0 if ledger is None else ledger.n_sets
        self.workflow = workflow_of(config.workflow, skip=config.skip)
        self.subjects: list[_Subject] = []

    @property
    def streaks(self) -> list[_Subject]:
        """Subjects that are rows of the table."""
        return [one for one in self.subjects if one.row >= 0]

    @property
    def headings(self) -> list[str]:
        """Columns of pictures, in the order in which they came."""
        return list(dict.fromkeys(name for one in self.subjects for name in one.files))

    def write(
        self,
        folder: Path,
        material: Material,
        rows: NDArray[np.int64],
        make_known: MakeKnown | None,
    ) -> None:
        share = self._config.gold if make_known is not None else 0.0
        n_gold = max(1, round(len(rows) * share / (1 - share))) if share > 0 else 0
        total = len(rows) + n_gold
        sizes: Counter[int] = Counter()
        beside = 0
        cutouts = material.read(rows)
        for one, subject in self._in_threads(
            lambda item: (item[1], self._streak(folder, *item)), cutouts
        ):
            sizes[one.size_px] += 1
            beside += one.science is not None
            self.subjects.append(subject)
            self._progress(len(self.subjects), total)
        self.subjects.sort(key=lambda one: one.row)
        if n_gold and self.subjects and make_known is not None:
            n_gold = min(n_gold, max(1, round(len(self.subjects) * share / (1 - share))))
            seed = np.random.SeedSequence((self._config.seed, self._turn)).generate_state(1)[0]
            known = make_known(n_gold, sizes.most_common(1)[0][0], int(seed >> 1))
            self._add_known(folder, known, alone=2 * beside < len(self.subjects), total=total)
        self._fill_pictures(folder)

    def _in_threads(self, work: Callable[[Given], Made], items: Iterable[Given]) -> Iterator[Made]:
        """Work on each in order, a few ahead: encoding a picture leaves Python free."""
        if self._workers == 1:
            yield from map(work, items)
            return
        with ThreadPoolExecutor(self._workers) as pool:
            waiting: deque[Future[Made]] = deque()
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > 4 * self._workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _streak(self, folder: Path, row: int, one: Cutouts) -> _Subject:
        key = _key_of(self._columns, row, one)
        files, largest = self._drawn(folder, key, one, _ends(self._columns, row, one.size_px))
        counts = centre_counts(one.difference[0], one.mask[0])
        cells = visible_cells(self._columns, row, counts)
        cells |= hidden_cells(self._columns, row, key, self.workflow)
        name = str(self._columns["streak_id"][row]) if "streak_id" in self._columns else key
        return _Subject(key, name, files, cells, largest, row)

    def _add_known(self, folder: Path, known: KnownSubjects, *, alone: bool, total: int) -> None:
        """Those of known truth, among the others: nothing that is seen tells them apart."""
        rng = np.random.default_rng(np.random.SeedSequence((self._config.seed, self._turn, 1)))
        donors = list(self.subjects)
        alike: dict[str, list[_Subject]] = {}
        for donor in donors:
            alike.setdefault(donor.cells["#label"], []).append(donor)
        for i, truth in enumerate(known.labels):
            one = known.cutouts.select(np.array([i]))
            if alone:
                one = Cutouts(one.difference, one.mask, one.names, fwhm_px=one.fwhm_px)
            key = pixels_key(one.difference[0], one.mask[0])[:20]
            # What is shown beside it, and the ticks of what is no line, are those of another of
            # its class: numbers that no subject has would give it away.
            of_class = alike.get(str(truth), donors)
            donor = of_class[int(rng.integers(len(of_class)))]
            ends = _ends(self._columns, donor.row, one.size_px)
            if ends is not None and known.ends[i] is not None:
                ends = known.ends[i]
            files, largest = self._drawn(folder, key, one, ends)
            nneg, nbad = centre_counts(one.difference[0], one.mask[0])
            seen = {name: donor.cells[name] for name in VISIBLE_COLUMNS}
            seen |= {"nneg": str(nneg), "nbad": str(nbad), "ssdistnr": "-999", "ssmagnr": "-999"}
            nothing: Columns = {"streak_id": np.array([f"gold-{key}"])}
            hidden = hidden_cells(nothing, 0, key, self.workflow)
            cells = {**seen, "ssnamenr": "null", **hidden}
            self.subjects.append(
                _Subject(key, f"gold-{key}", files, cells, largest, truth=str(truth))
            )
            self._progress(len(self.subjects), total)
        order = rng.permutation(len(self.subjects))
        self.subjects = [self.subjects[i] for i in order]

    def _drawn(
        self, folder: Path, key: str, one: Cutouts, ends: Segment | None
    ) -> tuple[dict[str, str], int]:
        """Names of the files by heading, and the largest size."""
        pictures = _small_enough(one, self._config.panel_px, ends, self._draw)
        files = {}
        for heading, picture in pictures.items():
            files[heading] = subject_filename(key if heading == FILE_COLUMN else f"{key}_{heading}")
            (folder / files[heading]).write_bytes(picture)
        return files, max(len(picture) for picture in pictures.values())

    def _fill_pictures(self, folder: Path) -> None:
        """A picture of nothing where other subjects have one: no cell may be empty."""
        headings = self.headings
        filled = []
        for one in self.subjects:
            files = dict(one.files)
            for heading in headings:
                if heading not in files:
                    files[heading] = f"{one.key}_{heading}.png"
                    size = (8, 8)
                    nothing = Cutouts(
                        np.zeros((1, *size), np.float32), np.ones((1, *size), bool), ("nothing",)
                    )
                    drawn = self._draw(nothing, self._config.panel_px, None)
                    (folder / files[heading]).write_bytes(next(iter(drawn.values())))
            filled.append(_Subject(**{**one.__dict__, "files": files}))
        self.subjects = filled


def _small_enough(
    one: Cutouts, panel_px: int, ends: Segment | None, draw: Draw
) -> Mapping[str, bytes]:
    while panel_px >= _SMALLEST_PX:
        pictures = draw(one, panel_px, ends)
        if max(len(picture) for picture in pictures.values()) <= _MAX_BYTES:
            return pictures
        panel_px //= 2
    raise InputError(
        f"{one.names[0]} cannot be drawn within {_MAX_BYTES // 1000} kB; use smaller cutouts"
    )


def _key_of(columns: Columns, row: int, one: Cutouts) -> str:
    """What tells a subject from all others: its image and place, else what it shows."""
    image = str(columns["image"][row]) if "image" in columns else ""
    x, y = (float(columns[axis][row]) if axis in columns else np.nan for axis in "xy")
    if not image or not np.isfinite(x + y):
        return pixels_key(one.difference[0], one.mask[0])[:20]
    told = json.dumps([image, f"{x:.1f}", f"{y:.1f}", str(columns["streak_id"][row])])
    return hashlib.sha256(told.encode("ascii")).hexdigest()[:20]


def _ends(columns: Columns, row: int, size_px: int) -> Segment | None:
    """A streak's ends in its cutout, whose middle pixel holds its midpoint; None where unknown."""
    if not {"x", "y", "x0", "y0", "x1", "y1"} <= columns.keys():
        return None
    x, y, *ends = (float(columns[name][row]) for name in ("x", "y", "x0", "y0", "x1", "y1"))
    if not np.isfinite([x, y, *ends]).all():
        return None
    middle = size_px // 2
    return Segment(*ends).shifted(middle - np.floor(x + 0.5), middle - np.floor(y + 0.5))


def _shown(
    subjects: Sequence[_Subject], things: NDArray[np.int64], columns: Columns
) -> list[Shown]:
    """Subjects with all rows of their things."""
    order = np.argsort(things, kind="stable")
    starts = np.searchsorted(things[order], np.arange(len(things) + 1))
    shown = []
    for one in subjects:
        if one.row < 0:
            shown.append(Shown(one.key, one.name, truth=one.truth))
            continue
        thing = things[one.row]
        members = order[starts[thing] : starts[thing + 1]]
        shown.append(Shown(one.key, one.name, tuple(int(row) for row in members)))
    return shown


def _write_about(
    folder: Path, writer: _Writer, config: LabelConfig, examples: KnownSubjects | None
) -> str:
    """All but the pictures of subjects; the set's id."""
    _write_manifest(folder / MANIFEST, writer)
    _write_texts(folder, writer.workflow)
    if examples is not None:
        write_field_guide(folder, examples, writer.workflow)
    set_id = uuid.uuid4().hex
    about = {
        "set_id": set_id,
        "workflow": config.workflow,
        "pictures": writer.headings,
        "subjects": len(writer.subjects),
        "gold": len(writer.subjects) - len(writer.streaks),
        "seed": config.seed,
    }
    _write_json(folder / SET_FILE, about)
    return set_id


def _write_manifest(path: Path, writer: _Writer) -> None:
    has_gold = len(writer.streaks) < len(writer.subjects)
    training = TRAINING_COLUMNS if has_gold else ()
    names = (*writer.headings, *VISIBLE_COLUMNS, *HIDDEN_COLUMNS, *training)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, names, lineterminator="\n")
        table.writeheader()
        for one in writer.subjects:
            known = training_cells(writer.workflow, one.truth) if has_gold else {}
            table.writerow({**one.files, **one.cells, **known})


def _write_texts(folder: Path, workflow: Workflow) -> None:
    texts_ = resources.files("streaks.labelling") / "texts"
    for name in _TEXTS:
        (folder / name).write_text((texts_ / name).read_text("utf-8"), encoding="utf-8")
    _write_json(folder / _QUESTION, question_json(workflow))
    _write_json(folder / "workflow.json", builder_json(workflow))
    (folder / "project_builder.md").write_text(builder_page(workflow), encoding="utf-8")


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _by_label(columns: Columns, rows: Sequence[int]) -> dict[str, int]:
    if "label" not in columns:
        return {"unknown": len(rows)}
    return dict(Counter(str(columns["label"][row]) or "unknown" for row in rows))


def _nothing(n: int, left_out: Mapping[str, int]) -> str:
    if n == 0:
        return "the night has no streaks, so there are no subjects to export"
    reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
    return f"none of {n} streaks is left to export ({reasons}); widen the selection"


def check_target(target: Path, overwrite: bool) -> None:
    """Raise where a set may not be written to a place.

    Parameters
    ----------
    target
        The folder to be.
    overwrite
        Whether a set that is there may go.

    Raises
    ------
    InputError
        For a file, a folder that holds anything else, or a set that was uploaded.
    """
    if not target.exists():
        return
    if not target.is_dir():
        raise InputError(f"{target} is a file; give a folder for the subject set")
    if not any(target.iterdir()):
        return
    if not (target / MANIFEST).is_file() or not (target / _QUESTION).is_file():
        raise InputError(f"{target} holds something that is no subject set; give a new folder")
    if not overwrite:
        raise InputError(f"{target} holds a subject set; give a new folder, or --overwrite")
    if (target / _UPLOADED).exists():
        raise InputError(
            f"subjects of {target} were uploaded, and its ledger of them must stay; give a new "
            "folder"
        )
    foreign = _foreign(target)
    if foreign:
        raise InputError(
            f"{target} holds {foreign[0]}, which no export wrote; give a new folder, or move it"
        )


def _foreign(target: Path) -> list[str]:
    """Files of a set's folder that an export did not write."""
    ours = {MANIFEST, _QUESTION, SET_FILE, "workflow.json", "project_builder.md", "question.md",
            *_TEXTS, "field_guide.md", "field_guide"}  # fmt: skip
    try:
        with (target / MANIFEST).open(newline="", encoding="utf-8") as file:
            for line in csv.DictReader(file):
                ours |= {str(v) for k, v in line.items() if k and not k.startswith("#")}
    except (OSError, UnicodeDecodeError, csv.Error):
        return [MANIFEST]
    return sorted(entry.name for entry in target.iterdir() if entry.name not in ours)
