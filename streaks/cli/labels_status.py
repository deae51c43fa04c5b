"""``streaks labels status``: a page of the campaign."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Annotated, Any

import typer

from streaks.cli.labels_import import (
    Agreement,
    FewestVotes,
    MostVotes,
    QuestionName,
    WorkflowNumber,
    say_left_out,
)

__all__ = ["status"]

_SALT_BYTES = 32


def status(
    export_file: Annotated[
        Path, typer.Argument(metavar="EXPORT.csv", help="Zooniverse's classification export.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Page (.html); not needed with --json."),
    ] = None,
    workflow: WorkflowNumber = None,
    question: QuestionName = None,
    consensus_votes: FewestVotes = 5,
    consensus_share: Agreement = 0.8,
    retire_votes: MostVotes = 10,
    salt_file: Annotated[
        Path | None,
        typer.Option(
            help="Keeps the salt of volunteers' hashes, so that they are the same next time; made "
            "when it is not there. Never publish it. Without it each page has new hashes."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
) -> int:
    """How a campaign stands: votes a day, agreement, who finds what, known subjects, retirement.

    One HTML file that needs nothing beside it. Volunteers are salted hashes, never names.
    """
    from streaks.errors import ConfigError
    from streaks.labelling import ConsensusRules, campaign_status, read_answers
    from streaks.reporting import write_campaign_page

    if out is None and not as_json:
        raise ConfigError("give a page to write (-o campaign.html), or --json")
    if out is not None and out.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"the page is HTML; {out} ends in {out.suffix or 'nothing'}, not .html")
    if export_file.suffix.lower() == ".json":
        raise ConfigError(
            f"{export_file} names classes, but neither votes nor volunteers: there is no campaign "
            "in it to report on; `streaks labels import` makes labels of it"
        )
    rules = ConsensusRules(consensus_votes, consensus_share, retire_votes)
    answers = read_answers(export_file, workflow=workflow, question=question, salt=_salt(salt_file))
    say_left_out(export_file, answers, quiet or as_json)
    found = campaign_status(answers, rules)
    if out is not None:
        write_campaign_page(out, found, title=export_file.stem)
    if as_json:
        print(json.dumps(found, sort_keys=True, allow_nan=False))
    elif not quiet:
        _say(found, out)
    return 1 if answers.not_understood or answers.bad_rows else 0


def _salt(path: Path | None) -> bytes:
    """The salt that a file keeps; a new one where there is none yet."""
    from streaks.errors import InputError, ReadError

    if path is None:
        return secrets.token_bytes(_SALT_BYTES)
    try:
        # Only its owner may read it: with the salt, a name can be looked up.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        pass
    except OSError as error:
        raise InputError(f"the salt cannot be kept in {path}: {error.strerror}") from None
    else:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(_SALT_BYTES) + "\n")
    try:
        salt = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError):
        raise ReadError(
            f"{path} is no salt of ours (hexadecimal digits); give another file"
        ) from None
    if len(salt) < _SALT_BYTES // 2:
        raise ReadError(f"{path} holds a salt of {len(salt)} bytes; delete it, and one is made")
    return salt


def _say(found: dict[str, Any], out: Path | None) -> None:
    retired = found["retirement"]
    print(
        f"{found['votes']} votes of {found['volunteers']} volunteers on {found['subjects']} "
        f"subjects; {retired['agreed'] + retired['without_consensus']} of {retired['asked']} are "
        f"done"
    )
    gold, kappa = found["gold"], found["agreement"]["fleiss"]
    if gold["votes"]:
        low, high = gold["interval"]
        print(f"known subjects: {gold['accuracy']:.0%} right ({low:.0%} to {high:.0%})")
    if kappa is not None:
        print(f"Fleiss' kappa {kappa:.2f}")
    if found["unresolved_is_skip"]:
        print("the export has no answer for unresolved: what is unresolved goes with skip")
    print(f"written to {out}")
