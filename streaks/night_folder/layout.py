"""Where everything of a night lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from streaks.readers import NIGHT_MARK, NIGHT_PLACES

__all__ = ["NightFolder"]


@dataclass(frozen=True)
class NightFolder:
    """The layout of a night's folder: names only, nothing is opened here.

    Parameters
    ----------
    root
        The night's folder itself; it need not be there.
    streak_masks
        Whether frames leave a mask of their streaks too.
    """

    root: Path
    #: Whether frames leave a mask of their streaks too.
    streak_masks: bool = False

    @property
    def streaks(self) -> Path:
        """All streaks of the night."""
        return self.root / "streaks.parquet"

    @property
    def frames(self) -> Path:
        """One row a frame: state, reason, seconds, what its header told."""
        return self.root / "frames.parquet"

    @property
    def tracklets(self) -> Path:
        """One row for each object of several streaks."""
        return self.root / "tracklets.parquet"

    @property
    def submittable(self) -> Path:
        """ADES observations of what the MPC would take: three positions an object or more."""
        return self.root / "ades_submittable.psv"

    @property
    def candidates(self) -> Path:
        """ADES observations of the other asteroid candidates."""
        return self.root / "ades_candidates.psv"

    @property
    def report(self) -> Path:
        return self.root / "report.html"

    @property
    def ledger(self) -> Path:
        return self.root / "ledger.sqlite"

    @property
    def settings(self) -> Path:
        return self.root / "settings.json"

    @property
    def log(self) -> Path:
        """What happened, one JSON object a line."""
        return self.root / "log.jsonl"

    @property
    def metrics(self) -> Path:
        """Counts in Prometheus's text format."""
        return self.root / "metrics.prom"

    @property
    def lock(self) -> Path:
        """Held by the run that is at work here."""
        return self.root / ".lock"

    @property
    def told(self) -> Path:
        """Candidates that a watch has told of, a name a line."""
        return self.root / "notified.txt"

    @property
    def judgements(self) -> Path:
        """What people judged of the night's candidates."""
        return self.root / "judgements.sqlite"

    @property
    def mark(self) -> Path:
        """Says that the folder is a night's: where it is missing, nothing is written over."""
        return self.root / NIGHT_MARK

    @property
    def kept_files(self) -> tuple[Path, ...]:
        """What all runs on a folder add to."""
        databases = (
            path.with_name(path.name + end)
            for path in (self.ledger, self.judgements)
            for end in ("", "-wal", "-shm")
        )
        return (*databases, self.log, self.told)

    @property
    def all_places(self) -> tuple[Path, ...]:
        """`places`, and that of masks whether they are asked for or not."""
        return tuple(self.root / name for name in NIGHT_PLACES)

    @property
    def night_files(self) -> tuple[Path, ...]:
        """What the night as a whole leaves, the ledger aside."""
        return (
            self.streaks,
            self.frames,
            self.tracklets,
            self.submittable,
            self.candidates,
            self.report,
            self.settings,
            self.metrics,
        )

    @property
    def places(self) -> tuple[Path, ...]:
        """Folders that hold a file a frame."""
        return tuple(path.parent for path in self.outputs("any"))

    def part_of_night(self, number: int, n_parts: int) -> NightFolder:
        """The folder of one of several runs that share a night's frames.

        Parameters
        ----------
        number
            Of the run, written with as many digits as `n_parts` has.
        n_parts
            How many runs share the night.

        Returns
        -------
        NightFolder
            Within this one, ``part-2-of-4`` for instance.
        """
        name = f"part-{number:0{len(str(n_parts))}d}-of-{n_parts}"
        return NightFolder(self.root / name, self.streak_masks)

    def part(self, image: str) -> Path:
        """The streaks of one frame.

        Parameters
        ----------
        image
            Name of the frame, unique in the night.

        Returns
        -------
        Path
            Of a Parquet file.
        """
        return self.root / "parts" / f"{image}.parquet"

    def cutouts(self, image: str) -> Path:
        """Cutouts of the streaks of one frame.

        Parameters
        ----------
        image
            Name of the frame, unique in the night.

        Returns
        -------
        Path
            Of an ``.npz`` stack.
        """
        return self.root / "cutouts" / f"{image}.npz"

    def overview(self, image: str) -> Path:
        """The picture of one frame.

        Parameters
        ----------
        image
            Name of the frame, unique in the night.

        Returns
        -------
        Path
            Of a JPEG.
        """
        return self.root / "overviews" / f"{image}.jpg"

    def streak_mask(self, image: str) -> Path:
        """FITS with a STREAK plane, where it is asked for.

        Parameters
        ----------
        image
            Name of the frame, unique in the night.

        Returns
        -------
        Path
            Whether masks are asked for or not.
        """
        return self.root / "masks" / f"{image}.fits"

    def outputs(self, image: str) -> tuple[Path, ...]:
        """All that one frame leaves.

        Parameters
        ----------
        image
            Name of the frame, unique in the night.

        Returns
        -------
        tuple of Path
            Table, cutouts, overview and, where `streak_masks` is set, the mask.
        """
        always = self.part(image), self.cutouts(image), self.overview(image)
        return (*always, self.streak_mask(image)) if self.streak_masks else always
