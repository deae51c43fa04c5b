"""A night on Dask: the same tasks, done by workers of a scheduler that is there or is started.

Workers must see the frames and the night's folder under the same paths as this process. Only as
many tasks are handed out as there are workers, so that a late one is known by its time, and a
cluster that grows or shrinks is used as it is. A worker should have one thread: where it has
more, its frames still go one by one.
"""

from __future__ import annotations

import functools
import logging
import shutil
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streaks import __version__
from streaks.errors import ConfigError, MissingExtraError, StreaksError
from streaks.night.workers.engine import DoTasks, Engine
from streaks.night.workers.forkserver import WORKER_ENVIRONMENT
from streaks.night.workers.pool import Outcome, as_streaks_error, attempt, one_line, prepare_process

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["CLUSTERS", "dask_engine"]

_log = logging.getLogger(__name__)

#: Kinds of clusters that can be started; ``local`` is for trying out.
CLUSTERS = ("slurm", "htcondor", "local")
#: The command that a batch system's jobs are submitted with.
_SUBMITS = {"slurm": "sbatch", "htcondor": "condor_submit"}
_POLL_S = 1.0
_CONNECT_S = 20
#: Memory of a worker process asked from a batch system, where dask-jobqueue's file names none.
_WORKER_MEMORY = "4 GiB"

#: Dask's own log of a cluster that starts and ends is thirty lines that nobody asked for.
_QUIET = {"DASK_LOGGING__DISTRIBUTED": "error"}

Setup = Callable[[], Callable[[Any], Any]]


def dask_engine(
    *, scheduler: str = "", cluster: str = "", workers: int = 1, time_limit_s: float = 600.0
) -> Engine:
    """Workers of a Dask cluster.

    Parameters
    ----------
    scheduler
        Address of one that runs, as ``tcp://host:8786``.
    cluster
        One of `CLUSTERS`, to be started for this night; a batch system's queue, project and so on
        come from dask-jobqueue's own configuration (``~/.config/dask/jobqueue.yaml``).
    workers
        Of a cluster that is started here.
    time_limit_s
        A frame that takes longer is given up, and its worker started again.

    Returns
    -------
    Engine
        Connected to, or started, when there is something to do for the first time.

    Raises
    ------
    ConfigError
        Unless exactly one of `scheduler` and a known `cluster` is given; if the batch system's
        command is not there.
    MissingExtraError
        If Dask, or for a batch system dask-jobqueue, is not installed.
    """
    if bool(scheduler) == bool(cluster):
        raise ConfigError("give either a scheduler's address or a kind of cluster, not both")
    if cluster and cluster not in CLUSTERS:
        raise ConfigError(f"cluster is {cluster!r}; expected one of {', '.join(CLUSTERS)}")
    submit = _SUBMITS.get(cluster)
    if submit is not None and shutil.which(submit) is None:
        # Without it dask-jobqueue fails in the background, and the night waits for ever.
        # Told before anything is to be installed, for installing would not help here.
        raise ConfigError(
            f"a cluster of kind {cluster} is asked for with {submit}, which this machine does not "
            "have; run the night where jobs can be submitted, or use --cluster local"
        )
    try:
        import distributed  # noqa: F401
    except ImportError:
        raise MissingExtraError("dask", "cluster", "a night on a cluster") from None
    for name in ("distributed", "distributed.core", "distributed.scheduler", "distributed.nanny"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return _DaskEngine(scheduler, cluster, workers, time_limit_s)


@dataclass(frozen=True)
class _DaskEngine:
    """Connects, or starts the cluster, when there is something to do for the first time."""

    scheduler: str
    cluster: str
    workers: int
    time_limit_s: float

    @contextmanager
    def opened(self, setup: Setup) -> Iterator[DoTasks]:
        with ExitStack() as opened:
            # Another night on the same workers is another preparation.
            connected = functools.cache(functools.partial(_connect, opened, self))
            token = uuid.uuid4().hex

            def do_tasks(tasks: Sequence[Any]) -> Iterator[Outcome[Any, Any]]:
                if tasks:
                    dispatcher = _Dispatcher(
                        connected(), deque(tasks), setup, token, self.time_limit_s
                    )
                    yield from dispatcher.run()

            yield do_tasks


def _connect(opened: ExitStack, engine: _DaskEngine) -> Client:
    from distributed import Client

    try:
        address: Any = engine.scheduler or opened.enter_context(
            closing(_start(engine.cluster, engine.workers))
        )
        return opened.enter_context(Client(address, timeout=_CONNECT_S))
    except (OSError, ValueError) as error:
        raise StreaksError(
            f"no Dask scheduler answers at {engine.scheduler or engine.cluster} "
            f"({one_line(error)}); check the address, or start one with: dask scheduler"
        ) from None


def _start(kind: str, workers: int) -> Any:
    if kind == "local":
        import dask
        from distributed import LocalCluster

        environment = {**WORKER_ENVIRONMENT, **_QUIET}
        # Read when a process starts, so that it cannot be told later.
        with dask.config.set({"distributed.nanny.pre-spawn-environ": environment}):
            return LocalCluster(
                n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None
            )
    try:
        import dask_jobqueue
    except ImportError:
        raise MissingExtraError("dask-jobqueue", "cluster", f"a night on {kind}") from None
    maker = {"slurm": "SLURMCluster", "htcondor": "HTCondorCluster"}[kind]
    more = {"disk": "1 GiB"} if kind == "htcondor" else {}
    import dask

    memory = dask.config.get(f"jobqueue.{kind}.memory", None) or _WORKER_MEMORY
    started = getattr(dask_jobqueue, maker)(cores=1, processes=1, memory=memory, **more)
    started.scale(jobs=workers)
    return started


class _Dispatcher:
    """Hands tasks to workers and takes their outcomes back."""

    def __init__(
        self,
        client: Client,
        waiting: deque[Any],
        setup: Setup,
        token: str,
        time_limit_s: float,
    ) -> None:
        self._client = client
        self._waiting = waiting
        self._setup = setup
        self._time_limit_s = time_limit_s
        self._token = token
        self._out: dict[Future, tuple[Any, float]] = {}
        self._lonely = False

    def run(self) -> Iterator[Outcome[Any, Any]]:
        from distributed import wait

        try:
            while self._waiting or self._out:
                self._hand_out()
                if not self._out:
                    time.sleep(_POLL_S)
                    continue
                with suppress(TimeoutError):
                    wait(list(self._out), timeout=_POLL_S, return_when="FIRST_COMPLETED")
                done = [future for future in self._out if future.done()]
                tasks = [self._out.pop(future)[0] for future in done]
                # Workers go on while this process enters what they did.
                self._hand_out()
                yield from map(_outcome, done, tasks)
                yield from self._give_up_late()
        finally:
            self._client.cancel(list(self._out))

    def _hand_out(self) -> None:
        slots = len(self._client.scheduler_info(n_workers=-1)["workers"])
        if slots == 0:
            if not self._lonely:
                _log.warning("the Dask scheduler has no workers; waiting for some")
            # What waits for a worker is not late.
            now = time.monotonic()
            self._out = {future: (task, now) for future, (task, _) in self._out.items()}
        self._lonely = slots == 0
        while self._waiting and len(self._out) < slots:
            task = self._waiting.popleft()
            future = self._client.submit(
                do_task, task, self._token, self._setup, __version__, pure=False
            )
            self._out[future] = (task, time.monotonic())

    def _give_up_late(self) -> Iterator[Outcome[Any, Any]]:
        now = time.monotonic()
        late = [f for f, (_, since) in self._out.items() if now - since > self._time_limit_s]
        for future in late:
            task, _ = self._out.pop(future)
            processing = self._client.processing()
            stuck = [worker for worker, keys in processing.items() if future.key in keys]
            self._client.cancel([future], force=True)
            if stuck:
                # A thread cannot be stopped, its process can; its other tasks go elsewhere.
                self._client.restart_workers(stuck, raise_for_error=False)
            reason = f"took longer than {self._time_limit_s:g} s and was stopped"
            yield Outcome(task, kind="WorkerLost", reason=reason)


def _outcome(future: Future, task: Any) -> Outcome[Any, Any]:
    """What became of a task whose future is done."""
    if future.status != "finished":
        # Dask has tried it on several workers, and lost each.
        reason = f"its Dask workers ended; out of memory, perhaps ({future.status})"
        return Outcome(task, kind="WorkerLost", reason=reason)
    kind, *rest = future.result()
    if kind == "setup failed":
        raise as_streaks_error(*rest)
    if kind == "done":
        return Outcome(task, answer=rest[0])
    return Outcome(task, kind=rest[0], reason=rest[1])


_PREPARED: dict[str, Any] = {}
_ONE_AT_A_TIME = threading.Lock()


def do_task(task: Any, token: str, setup: Setup, version: str) -> tuple[Any, ...]:
    """What a Dask worker runs: prepare once a night, then do a task."""
    with _ONE_AT_A_TIME:
        if token not in _PREPARED:
            if version != __version__:
                reason = f"a worker has streaks {__version__}, this process {version}; align them"
                return "setup failed", "StreaksError", reason
            try:
                prepare_process()
                work = setup()
            except Exception as error:
                return "setup failed", type(error).__name__, one_line(error)
            # Only one night is kept warm.
            _PREPARED.clear()
            _PREPARED[token] = work
        return attempt(_PREPARED[token], task)
