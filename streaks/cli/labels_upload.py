"""``streaks labels upload``: a set of subjects to Zooniverse."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streaks.cli.progress import show_progress

if TYPE_CHECKING:
    from streaks.labelling.upload import Uploaded
    from streaks.labelling.upload_set import SetToUpload
    from streaks.labelling.zooniverse import Quota

__all__ = ["upload"]

#: Numbers of surplus subjects that are told one by one.
_NAMED = 20


def upload(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Of `streaks labels export`.")],
    project: Annotated[
        int | None, typer.Option(min=1, help="Number of the Zooniverse project.")
    ] = None,
    subject_set: Annotated[
        int | None, typer.Option(min=1, help="Number of a subject set; else one is made.")
    ] = None,
    name: Annotated[
        str, typer.Option(help="Of the subject set that is made; else the folder's.")
    ] = "",
    batch: Annotated[
        int, typer.Option(help="Subjects created before they are put into the set at once.")
    ] = 500,
    workers: Annotated[int, typer.Option("--workers", "-w", help="Requests at a time.")] = 4,
    settle: Annotated[
        float, typer.Option(help="Seconds from a lost answer until the project is looked through.")
    ] = 60.0,
    pause: Annotated[
        float, typer.Option(help="Seconds to wait after a failure; twice as long after the next.")
    ] = 2.0,
    tries: Annotated[
        int, typer.Option(help="Requests that may be repeated are sent so often.")
    ] = 8,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the set and say what would be done.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
) -> int:
    """Upload a set of subjects to Zooniverse: each exactly once, whatever dies.

    Start it again after any failure: DIR/upload.sqlite knows how far each subject is. Credentials
    are read from PANOPTES_USERNAME and PANOPTES_PASSWORD, or ~/.panoptes/config.yml, and written
    nowhere. Needs the extra `zooniverse`; --dry-run does not.
    """
    from streaks.errors import ConfigError
    from streaks.labelling.upload import upload_set
    from streaks.labelling.upload_set import read_set
    from streaks.labelling.zooniverse import Patience, connect, read_credentials

    patience = Patience(tries, pause, settle)
    whole = read_set(folder)
    if dry_run:
        _say_dry(whole, batch, as_json=as_json)
        return 0
    if project is None:
        raise ConfigError("--project is missing: the number in the address of the project's page")
    service = connect(read_credentials(), patience)
    with show_progress(len(whole), "subjects", quiet or as_json) as progress:
        done = upload_set(
            whole,
            service,
            project=project,
            subject_set="" if subject_set is None else str(subject_set),
            name=name,
            batch=batch,
            workers=workers,
            progress=progress,
            say_quota=None if quiet or as_json else _say_quota,
        )
    _say(done, whole, as_json=as_json, quiet=quiet)
    return 1 if done.surplus else 0


def _say_quota(quota: Quota, n: int) -> None:
    of = "an unknown number" if quota.most is None else str(quota.most)
    print(f"quota: {quota.used} of {of} used, {n} to be created now (deleted ones count)")


def _say_dry(whole: SetToUpload, batch: int, *, as_json: bool) -> None:
    from streaks.labelling.upload_ledger import standing_of_upload

    standing = standing_of_upload(whole.folder)
    n_up = sum(standing.get(state, 0) for state in ("created", "stored", "linked"))
    told: dict[str, Any] = {
        "subjects": len(whole),
        "pictures": sum(len(files) for files in whole.pictures),
        "bytes": sum(
            (whole.folder / name).stat().st_size for files in whole.pictures for name in files
        ),
        "workflow": whole.workflow,
        "up_already": n_up,
        "batches": -(-(len(whole) - n_up) // max(batch, 1)),
        "example": dict(whole.metadata[0]),
    }
    if as_json:
        print(json.dumps(told, sort_keys=True))
        return
    print(
        f"{told['subjects']} subjects with {told['pictures']} pictures, "
        f"{told['bytes'] / 1e6:.1f} MB; {n_up} are up already"
    )
    print(
        f"would create {len(whole) - n_up} subjects in {told['batches']} batches, which count "
        "against the account's quota"
    )
    shown = ", ".join(f"{k}={v}" for k, v in told["example"].items() if not k.startswith("#"))
    print(f"volunteers see beside the first: {shown}")
    print(f"for the project builder: {whole.folder}/project_builder.md; nothing was sent")


def _say(done: Uploaded, whole: SetToUpload, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        told = {
            "subject_set": done.subject_set,
            "subjects": done.n_subjects,
            "created": done.n_new,
            "found": done.n_found,
            "surplus": list(done.surplus),
        }
        print(json.dumps(told, sort_keys=True))
    elif not quiet:
        print(
            f"{done.n_subjects} subjects are in subject set {done.subject_set}, each once "
            f"({done.n_new} created now, {done.n_found} found that had lost their answer)"
        )
        print(f"for the project builder: {whole.folder}/project_builder.md")
    if done.surplus:
        named = ", ".join(done.surplus[:_NAMED])
        print(
            f"created twice by the service, in no set, to be deleted by hand: {named}",
            file=sys.stderr,
        )
