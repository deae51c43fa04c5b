"""``streaks vet``: a local page to judge a night's candidates on, and what came of it."""

from __future__ import annotations

import json
import math
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from streaks.night_folder import Night
    from streaks.vetting import Agreement, Gate, Standing

__all__ = ["vet"]

#: Names of streaks that are told one by one.
_NAMED = 5


def vet(
    night: Annotated[Path, typer.Argument(help="Folder that `streaks night` wrote.")],
    host: Annotated[
        str, typer.Option(help="Where to listen; anything but this machine needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any that is free.")] = 8377,
    token: Annotated[
        str, typer.Option(help="What the page's address must bear; made where it is needed.")
    ] = "",
    name: Annotated[
        list[str] | None,
        typer.Option(help="A further host name under which the page is opened; repeat."),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(help="Write the labels (as `labels import` does), and open no page."),
    ] = None,
    agreement: Annotated[
        bool, typer.Option("--agreement", help="Say how far people agree, and open no page.")
    ] = False,
    ades: Annotated[
        Path | None,
        typer.Option(help="Write what was accepted as asteroid (.psv), and open no page."),
    ] = None,
    ades_context: Annotated[
        Path | None,
        typer.Option(help="TOML file of what ADES says of observer, telescope and catalogues."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
) -> int:
    """Judge a night's candidates by keyboard, on a page of this machine's own.

    Keys: 1 to 7 classes, 8 unresolved, 0 skip, u undo, space next; ? shows them all. Judgements
    are kept in NIGHT/judgements.sqlite, each with the person's name; several may judge at once,
    and go on another day. Needs the extra `web`; --export, --agreement and --ades do not.
    """
    from streaks.errors import ConfigError
    from streaks.night_folder import read_night
    from streaks.vetting import open_journal, standing_of

    if ades is not None and ades.suffix.lower() != ".psv":
        raise ConfigError(f"--ades {ades.name}: ADES observations go to a file that ends in .psv")
    if ades_context is not None and ades is None:
        raise ConfigError("--ades-context is of the file that --ades names; give both")
    archive = read_night(night)
    if export is None and ades is None and not agreement:
        _open_page(archive, host, port, token, tuple(name or ()), as_json=as_json, quiet=quiet)
        return 0
    with open_journal(archive.folder.judgements, only_read=True) as journal:
        standing = standing_of(journal.after(), archive)
    told: dict[str, Any] = {}
    _say_lost(standing)
    if export is not None:
        told["export"] = _export(standing, archive, export)
    if agreement:
        told["agreement"] = _agreement(standing)
    if ades is not None:
        told["ades"] = _write_ades(standing, archive, ades, ades_context)
    _say(told, as_json=as_json, quiet=quiet)
    return 0


def _open_page(
    night: Night,
    host: str,
    port: int,
    token: str,
    names: tuple[str, ...],
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    from streaks.vetting import (
        build_app,
        listening,
        make_gate,
        open_journal,
        read_candidates,
        require_web,
        serve,
    )

    require_web()
    with listening(host, port) as bound:
        at = int(bound.getsockname()[1])
        # Cookies know no ports: two nights that are open at once need two.
        gate = make_gate(host, token=token, names=names, cookie=f"streaks_vet_{at}")
        candidates = read_candidates(night)
        with open_journal(night.folder.judgements) as journal:
            app = build_app(candidates, journal, gate)
            # A token that was made must be told, or nobody could open the page.
            silent = quiet and gate.token == token
            _say_address(_address(host, at, gate), night, as_json=as_json, quiet=silent)
            with suppress(KeyboardInterrupt):
                serve(app, bound)


def _say_address(address: str, night: Night, *, as_json: bool, quiet: bool) -> None:
    # Flushed: who starts this from a script waits for the line.
    if as_json:
        print(json.dumps({"address": address}), flush=True)
    elif not quiet:
        print(address)
        print(f"judgements go to {night.folder.judgements}; Ctrl-C stops", flush=True)


def _address(host: str, port: int, gate: Gate) -> str:
    shown = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)
    shown = f"[{shown.strip('[]')}]" if ":" in shown else shown
    return f"http://{shown}:{port}/" + (f"?token={gate.token}" if gate.token else "")


def _export(standing: Standing, night: Night, out: Path) -> dict[str, Any]:
    from streaks.reporting import table_suffix, write_table
    from streaks.vetting import labels_table

    table_suffix(out)
    table = labels_table(standing, night)
    write_table(table, out)
    verdicts = [str(verdict) for verdict in table["verdict"]]
    return {
        "path": str(out),
        "candidates": len(table),
        "people": sorted(standing.labels),
        "by_verdict": {v or "undecided": verdicts.count(v) for v in sorted(set(verdicts))},
    }


def _agreement(standing: Standing) -> dict[str, Any]:
    from streaks.vetting import agreement_of

    found: Agreement = agreement_of(standing.labels)
    return {
        "judged": dict(found.n_by_person),
        "pairs": [
            {
                "people": [pair.first, pair.second],
                "n": pair.n,
                "same": _finite(pair.same),
                "cohen_kappa": _finite(pair.kappa),
            }
            for pair in found.pairs
        ],
        "n_by_two_or_more": found.n_several,
        "n_by_all": found.n_all,
        "fleiss_kappa": _finite(found.fleiss),
    }


def _write_ades(
    standing: Standing, night: Night, out: Path, context_file: Path | None
) -> dict[str, Any]:
    from streaks.cli.searching import read_toml
    from streaks.disk import written_whole
    from streaks.reporting import ades_context
    from streaks.vetting import accepted_ades

    context = (
        None if context_file is None else ades_context(read_toml(context_file, "--ades-context"))
    )
    text, n, left_out = accepted_ades(standing, night, context)
    with written_whole(out) as part:
        part.write_text(text, encoding="utf-8")
    return {"path": str(out), "observations": n, "left_out": list(left_out)}


def _finite(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def _say_lost(standing: Standing) -> None:
    if standing.lost:
        names = sorted(standing.lost)
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        print(
            f"judged, but no longer in the night, and left out: {', '.join(names[:_NAMED])}{more}",
            file=sys.stderr,
        )


def _say(told: dict[str, Any], *, as_json: bool, quiet: bool) -> None:
    if as_json:
        print(json.dumps(told, sort_keys=True))
        return
    if quiet:
        return
    if "export" in told:
        export = told["export"]
        listed = ", ".join(f"{n} {name}" for name, n in export["by_verdict"].items())
        print(f"{export['candidates']} candidates ({listed or 'none'}) written to {export['path']}")
        if "unresolved" in export["by_verdict"]:
            print("unresolved ones are labelled skip, which models learn; verdict keeps the word")
    if "agreement" in told:
        _say_agreement(told["agreement"])
    if "ades" in told:
        ades = told["ades"]
        print(f"{ades['observations']} observations written to {ades['path']}")
        for name in ades["left_out"]:
            print(f"left out, cut or without place, time or observatory: {name}", file=sys.stderr)


def _say_agreement(found: dict[str, Any]) -> None:
    for person, n in found["judged"].items():
        print(f"{person}: {n} judged")
    for pair in found["pairs"]:
        print(
            f"{' and '.join(pair['people'])}: {pair['n']} by both, {_share(pair['same'])} alike, "
            f"Cohen's kappa {_number(pair['cohen_kappa'])}"
        )
    print(
        f"Fleiss' kappa {_number(found['fleiss_kappa'])} over {found['n_by_two_or_more']} "
        f"candidates that two or more judged ({found['n_by_all']} by all)"
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"


def _number(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.3f}"
