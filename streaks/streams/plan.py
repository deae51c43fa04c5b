"""What a filter does with each alert: made once, sent to any process, prepared there."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streaks.classification import Classifier, parse_mix
from streaks.errors import InputError
from streaks.expressions import Expression, parse_expression
from streaks.readers.alerts import SchemaSource
from streaks.search.identity import file_digest
from streaks.streams.judge import Judge
from streaks.streams.words import PACKET_COLUMNS, WORD_COLUMNS

__all__ = ["AlertFilter", "Prepared"]

_PACKET_NAMES = tuple(spec.name for spec in PACKET_COLUMNS)
_WORD_NAMES = tuple(spec.name for spec in WORD_COLUMNS)


@dataclass(frozen=True, kw_only=True)
class AlertFilter:
    """All that decides what comes out for an alert.

    Parameters
    ----------
    where
        A condition on `WORD_COLUMNS` and on the packet's own fields (``packet.sgscore1``); empty
        lets all through.
    load_classifier
        Gives the classifier, picklable; None leaves alerts unnamed.
    classifier
        What it is called, with a digest of its weights.
    orbits, ephemeris
        A catalogue, and a JPL kernel; None for packets' own orbits, and for the built-in one.
    check
        Whether to look for known objects at all.
    mix
        How classes are mixed on this sky, as of `streaks.classification.parse_mix`.
    schemas
        Folder or registry of schemas, for packets that bring none.

    Raises
    ------
    ConfigError
        If the condition, the mix or the schemas are none.
    InputError
        If a file does not exist.
    """

    where: str = ""
    load_classifier: Callable[[], Classifier] | None = None
    classifier: str = ""
    orbits: Path | None = None
    ephemeris: Path | None = None
    check: bool = True
    mix: str = "balanced"
    schemas: str = ""

    def __post_init__(self) -> None:
        for name in ("orbits", "ephemeris"):
            path = getattr(self, name)
            object.__setattr__(self, name, None if path is None else Path(path).absolute())
        if self.orbits is not None and not self.orbits.is_file():
            raise InputError(f"{self.orbits} does not exist; give a file of orbits")
        parse_mix(self.mix)
        self.condition()
        SchemaSource(self.schemas or None)

    def condition(self) -> Expression | None:
        """The condition, read; None where all is let through.

        Returns
        -------
        Expression or None
        """
        return parse_expression(self.where, _WORD_NAMES) if self.where.strip() else None

    def identity(self) -> dict[str, Any]:
        """What decides the results, as plain values.

        Returns
        -------
        dict
            Files count by name and content.
        """
        return {
            "where": self.where,
            "classifier": self.classifier,
            "orbits": _content_name(self.orbits),
            "ephemeris": "" if self.ephemeris is None else self.ephemeris.name,
            "check": self.check,
            "mix": self.mix,
        }

    def fingerprint(self) -> str:
        """A short hash of `identity`.

        Returns
        -------
        str
        """
        text = json.dumps(self.identity(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def prepare(self) -> Prepared:
        """Load classifier and catalogue: what works on alerts in this process.

        Returns
        -------
        Prepared

        Raises
        ------
        ModelError
            If the classifier cannot be loaded.
        CatalogueError
            If the catalogue cannot be read.
        """
        condition = self.condition()
        first, rest = (None, None) if condition is None else condition.split(_PACKET_NAMES)
        mix = None if self.mix == "balanced" else parse_mix(self.mix)
        classifier = None if self.load_classifier is None else self.load_classifier()
        judge = Judge(classifier, self._checker() if self.check else None, mix)
        return Prepared(judge, SchemaSource(self.schemas or None), first, rest)

    def _checker(self) -> Any:
        from streaks.known import open_ephemeris, read_orbits
        from streaks.known.cache import cache_folder
        from streaks.known.checker import AlertChecker

        kernel = self.ephemeris or os.environ.get("STREAKS_EPHEMERIS") or None
        return AlertChecker(
            None if self.orbits is None else read_orbits(self.orbits),
            ephemeris=None if kernel is None else open_ephemeris(kernel),
            cache=cache_folder(),
        )


@dataclass(frozen=True, eq=False)
class Prepared:
    """An `AlertFilter` with all that it names loaded.

    Parameters
    ----------
    judge
        Gives our word.
    schemas
        For packets that bring none.
    first, rest
        The condition: what the packet alone can answer, and what must be measured before.
    """

    judge: Judge
    schemas: SchemaSource
    first: Expression | None = None
    rest: Expression | None = None


def _content_name(path: Path | None) -> str:
    return "" if path is None else f"{path.name} {file_digest(path)[:12]}"
