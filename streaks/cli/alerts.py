"""`streaks alerts filter`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streaks.cli.first_run import compile_once
from streaks.cli.searching import AsJson, Ephemeris, Mix, Model, Orbits, Quiet

if TYPE_CHECKING:
    from streaks.streams import AlertFilter, FilterCounts

__all__ = ["app", "filter_alerts"]

app = typer.Typer(no_args_is_help=True, help="Alerts of ZTF, Rubin and others: named and filtered.")


@app.callback()
def _alerts() -> None:
    """Keep `filter` a command of its own while it is the only one."""


@app.command("filter")
def filter_alerts(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Avro packets, messages, Parquet tables of brokers, tar archives, folders of "
            "them; or kafka://HOST:PORT/TOPIC."
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            help=".avro (the packets with our word), .parquet, .csv, .ecsv, a folder (a night, for "
            "`vet` and `report`), or kafka://HOST:PORT/TOPIC.",
        ),
    ],
    where: Annotated[
        str,
        typer.Option(
            help="Condition: \"label == 'asteroid' and p_asteroid > 0.5\"; fields of the packet as "
            "packet.NAME. What the packet alone tells is asked first."
        ),
    ] = "",
    orbits: Orbits = None,
    ephemeris: Ephemeris = None,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Do not look for known objects.")
    ] = False,
    model: Model = "default",
    mix: Mix = "balanced",
    schemas: Annotated[
        str,
        typer.Option(
            envvar="STREAKS_SCHEMAS",
            help="Of packets that bring no schema: a folder of .avsc files, or the address of a "
            "registry. LSST's own package (lsst-alert-packet) is used where it is installed.",
        ),
    ] = "",
    workers: Annotated[
        int, typer.Option("--workers", "-w", min=0, help="Processes; 0: one a core.")
    ] = 0,
    work: Annotated[
        Path | None,
        typer.Option(help="Folder of ledger, spool and what is set aside; default OUTPUT.work."),
    ] = None,
    kafka: Annotated[
        list[str] | None,
        typer.Option(
            "--kafka", help="Setting of librdkafka, NAME=VALUE; group.id and others of a broker."
        ),
    ] = None,
    idle: Annotated[
        float, typer.Option(min=0.0, help="End when a topic gave nothing for so long, s; 0: never.")
    ] = 0.0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Say of each alert what it is, and let those through that a condition holds for.

    It may be stopped at any moment: the same command goes on. Each alert is written once. Packets
    that cannot be read are set aside in OUTPUT.work/poison, each with its reason.
    """
    import json

    from streaks.cli.searching import worker_count
    from streaks.streams import run_filter
    from streaks.streams.targets import check_target
    from streaks.tables import counted

    if "://" not in output:
        check_target(Path(output))
    plan = _plan(where, orbits, ephemeris, mix, model, schemas, check=not no_check)
    settings = _settings(kafka or [])
    folder = _work(output, work)
    source = _source(sources, folder, output, settings, idle)
    n_workers = worker_count(workers)
    if plan.load_classifier is not None:
        compile_once(quiet or as_json, "alerts")
    with _Stop() as stop:
        counts = run_filter(
            plan,
            source,
            output,
            work=folder,
            workers=0 if n_workers == 1 else n_workers,
            sink=_sink(output, settings),
            progress=None if quiet or as_json else _say,
            stop=stop.wanted,
        )
    if as_json:
        typer.echo(json.dumps({**vars(counts), "output": output}))
    elif not quiet:
        typer.echo(
            f"{counts.alerts} alerts, {counts.kept} kept, {counts.repeats} duplicates -> {output}"
        )
    if counts.poison:
        typer.echo(f"{counted(counts.poison, 'packet')} set aside in {folder / 'poison'}", err=True)
        raise typer.Exit(1)
    if counts.alerts == 0:
        from streaks.errors import InputError

        raise InputError("no alert could be read; give Avro packets, archives or a broker's table")


def _plan(
    where: str,
    orbits: Path | None,
    ephemeris: Path | None,
    mix: str,
    model: str,
    schemas: str,
    *,
    check: bool,
) -> AlertFilter:
    from streaks.cli.searching import named_classifier
    from streaks.known import default_catalogue
    from streaks.streams import AlertFilter

    if check and orbits is None and default_catalogue().is_file():
        orbits = default_catalogue()
    loader, name = named_classifier(model)
    return AlertFilter(
        where=where, load_classifier=loader, classifier=name, orbits=orbits, ephemeris=ephemeris,
        check=check, mix=mix, schemas=schemas,
    )  # fmt: skip


def _work(output: str, work: Path | None) -> Path:
    from streaks.streams.run import work_folder

    if work is not None:
        return work
    if "://" in output:
        raise typer.BadParameter("give --work FOLDER with a topic: the ledger must lie on a disk")
    return work_folder(output)


def _settings(given: list[str]) -> dict[str, str]:
    found = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name.strip():
            raise typer.BadParameter(f"--kafka {one}: expected NAME=VALUE")
        found[name.strip()] = value.strip()
    return found


def _source(
    sources: list[str], folder: Path, output: str, settings: dict[str, str], idle: float
) -> Any:
    from streaks.errors import InputError
    from streaks.streams.sources import FileSource

    topics = [s for s in sources if s.startswith("kafka://")]
    if topics:
        if len(sources) > 1:
            raise typer.BadParameter("give one topic alone, or files and folders")
        from streaks.streams.kafka import KafkaSource

        return KafkaSource(topics[0], settings, idle_s=idle)
    source = FileSource([Path(s) for s in sources], leave_out=[folder, Path(output)])
    if not source.has_files():
        raise InputError(
            f"{', '.join(sources)} holds no alerts; give Avro packets, archives or a broker's table"
        )
    return source


def _sink(output: str, settings: dict[str, str]) -> Any:
    if not output.startswith("kafka://"):
        return None
    from streaks.streams.kafka import KafkaSink

    return lambda run_id, ledger: KafkaSink(output, settings, ledger)


def _say(counts: FilterCounts) -> None:
    if counts.alerts:
        typer.echo(f"{counts.alerts} alerts, {counts.kept} kept", err=True)


class _Stop:
    """Ends after the batch that is at work, on SIGTERM or Ctrl-C; the second time at once."""

    def __init__(self) -> None:
        self._wanted = False
        self._old: dict[int, Any] = {}

    def wanted(self) -> bool:
        return self._wanted

    def __enter__(self) -> _Stop:
        import signal

        for number in (signal.SIGTERM, signal.SIGINT):
            self._old[number] = signal.signal(number, self._ask)
        return self

    def _ask(self, number: int, frame: Any) -> None:
        if self._wanted:
            raise KeyboardInterrupt
        self._wanted = True

    def __exit__(self, *exc: object) -> None:
        import signal

        for number, handler in self._old.items():
            signal.signal(number, handler)
