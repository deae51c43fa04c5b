"""A set of subjects on its way to Zooniverse: each exactly once, whatever dies.

Each subject goes through ``new``, ``creating``, ``created``, ``stored`` (its pictures are there),
``linked`` (it is in the subject set), each step on the disk of this machine before the next.
``creating`` is written down before anything is sent. Of a subject that was left in that state
nobody knows whether the service has it: the project is looked through for its key, and only one
that is not found is created again. Should a request be carried out after that all the same, the
surplus subject is in no set, no volunteer sees it, and it is named at the end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

from streaks.errors import AccessError, ConfigError, InputError, LedgerError
from streaks.labelling.upload_ledger import Row, UploadLedger, open_ledger
from streaks.labelling.upload_set import UPLOAD_KEY, SetToUpload
from streaks.labelling.zooniverse import LostAnswerError, Quota, Zooniverse

__all__ = ["Uploaded", "upload_set"]

_log = logging.getLogger(__name__)
#: Rounds in which nothing at all goes forward before an upload gives up.
_IDLE_ROUNDS = 4
_BATCHES = (1, 1000)
_WORKERS = (1, 16)


@dataclass(frozen=True)
class Uploaded:
    """What an upload came to.

    Parameters
    ----------
    subject_set
        Number of the subject set.
    n_subjects
        That are in it now, of this set.
    n_new
        Of these, created by this run.
    n_found
        Created before, by a request whose answer had been lost.
    surplus
        Numbers of subjects that were created twice by the service; in no set.
    """

    subject_set: str
    n_subjects: int
    n_new: int
    n_found: int
    surplus: tuple[str, ...] = ()


@dataclass
class _Upload:
    """One run."""

    whole: SetToUpload
    service: Zooniverse
    ledger: UploadLedger
    project: int
    batch: int
    workers: int
    progress: Callable[[int], None]
    subject_set: str = ""
    n_new: int = 0
    n_found: int = 0
    #: Whether what is in the subject set may be more than the ledger says.
    members_unsure: bool = True

    def run(self) -> None:
        idle = 0
        while True:
            before = self._standing()
            self._settle()
            self._create()
            self._store()
            self._link()
            done = self.ledger.count("linked")
            self.progress(done)
            if done == len(self.whole):
                return
            idle = idle + 1 if self._standing() == before else 0
            if idle >= _IDLE_ROUNDS:
                raise AccessError(
                    f"Zooniverse takes nothing any more; {done} of {len(self.whole)} subjects are "
                    "in the set: start it again later, it goes on from there"
                )
            if idle:
                self.service.patience.pause(idle)

    def _standing(self) -> tuple[int, ...]:
        return tuple(self.ledger.count(s) for s in ("created", "stored", "linked"))

    def _settle(self) -> None:
        """Find out about each subject whose creation may or may not have been carried out."""
        unsure = self.ledger.rows("creating")
        if not unsure:
            return
        wait = self.service.patience.settle_s
        time.sleep(max(0.0, min(wait, max(row.asked for row in unsure) + wait - time.time())))
        found = self.found(min(row.floor for row in unsure))
        for row in unsure:
            numbers = found.get(row.key, [])
            if numbers:
                self.ledger.put("created", row.key, str(min(numbers)))
                self.n_found += 1
            else:
                self.ledger.put("new", row.key)

    def found(self, above: int) -> dict[str, list[int]]:
        """Numbers of this set's subjects that the project has, by key."""
        mark = f"{self.whole.set_id}-"
        found: dict[str, list[int]] = {}
        for number, metadata in self.service.subjects(self.project, above=above):
            told = metadata.get(UPLOAD_KEY)
            if isinstance(told, str) and told.startswith(mark):
                found.setdefault(told[len(mark) :], []).append(number)
        return found

    def _create(self) -> None:
        """A batch of subjects, several at a time, with their pictures."""
        rows = self.ledger.rows("new", limit=self.batch)
        if not rows:
            return
        self.ledger.creating([row.key for row in rows])
        self._together(rows, self._create_one, self._created)

    def _create_one(self, row: Row) -> tuple[str, bool]:
        pictures = self.whole.pictures[row.place]
        number, addresses = self.service.create_subject(
            self.project, len(pictures), self.whole.metadata[row.place]
        )
        try:
            return number, self._send(row, addresses)
        except (AccessError, InputError) as error:
            # The subject is there, and that must be written down; its pictures come later.
            _log.info("pictures of %s: %s", row.key, error)
            return number, False

    def _created(self, row: Row, result: tuple[str, bool]) -> None:
        number, is_stored = result
        self.ledger.put("stored" if is_stored else "created", row.key, number)
        self.n_new += 1

    def _store(self) -> None:
        """Pictures of subjects that have none yet."""

        def store(row: Row) -> bool:
            n = len(self.whole.pictures[row.place])
            return self._send(row, self.service.new_addresses(row.number, n))

        def stored(row: Row, is_stored: bool) -> None:
            if is_stored:
                self.ledger.put("stored", row.key)

        self._together(self.ledger.rows("created"), store, stored)

    def _send(self, row: Row, addresses: Sequence[str]) -> bool:
        pictures = self.whole.pictures[row.place]
        if len(addresses) != len(pictures):
            return False
        return all(
            self.service.send_picture(address, (self.whole.folder / name).read_bytes())
            for address, name in zip(addresses, pictures, strict=True)
        )

    def _together(
        self,
        rows: Sequence[Row],
        work: Callable[[Row], Any],
        done: Callable[[Row, Any], None],
    ) -> None:
        """Work on rows in threads; what each came to is written down here, one after the other."""
        stopped: Exception | None = None
        with ThreadPoolExecutor(self.workers) as pool:
            waiting = {pool.submit(work, row): row for row in rows}
            try:
                for future in as_completed(waiting):
                    if future.cancelled():
                        continue
                    try:
                        done(waiting[future], future.result())
                    except LostAnswerError as error:
                        _log.info("%s: %s", waiting[future].key, error)
                    except (AccessError, InputError) as error:
                        # What is in the air is waited for: its answers are worth keeping.
                        stopped = stopped or error
                        for other in waiting:
                            other.cancel()
            except BaseException:
                for other in waiting:
                    other.cancel()
                raise
        if stopped is not None:
            raise stopped

    def _link(self) -> None:
        """Put what has its pictures into the subject set, a batch at once."""
        while rows := self.ledger.rows("stored", limit=self.batch):
            # A request of an earlier run, or one whose answer was lost, may have been carried out.
            there = self.service.members(self.subject_set) if self.members_unsure else set()
            self.members_unsure = False
            missing = [row.number for row in rows if row.number not in there]
            if missing:
                try:
                    self.service.link(self.subject_set, missing)
                except LostAnswerError as error:
                    _log.info("link: %s", error)
                    self.members_unsure = True
                    time.sleep(min(self.service.patience.settle_s, 10.0))
                    return
                except InputError:
                    # Refused, because an earlier request was carried out late after all?
                    if self.service.members(self.subject_set).isdisjoint(missing):
                        raise
                    self.members_unsure = True
                    continue
            self.ledger.put_all("linked", [row.key for row in rows])


def upload_set(
    whole: SetToUpload,
    service: Zooniverse,
    *,
    project: int,
    subject_set: str = "",
    name: str = "",
    batch: int = 500,
    workers: int = 4,
    progress: Callable[[int], None] | None = None,
    say_quota: Callable[[Quota, int], None] | None = None,
) -> Uploaded:
    """Upload a set, or what of it is not up yet.

    Parameters
    ----------
    whole
        Of `read_set`. Its folder gets the ledger ``upload.sqlite``.
    service
        Of `streaks.labelling.zooniverse.connect`.
    project
        Number of the project.
    subject_set
        Number of the subject set; made where not given.
    name
        Of the subject set that is made; the folder's where not given.
    batch
        Subjects that are created before they are put into the set together.
    workers
        Requests at a time.
    progress
        Called with the number of subjects that are in the set.
    say_quota
        Called before anything is created, with the quota and the number still to create.

    Returns
    -------
    Uploaded

    Raises
    ------
    ConfigError
        If `batch` or `workers` is out of range.
    LedgerError
        If the set is being uploaded by another process, or was begun for another project.
    InputError
        If the quota does not suffice, or the service refuses something.
    AccessError
        If the service cannot be reached any more; start it again later.
    """
    for what, value, (low, high) in (("batch", batch, _BATCHES), ("workers", workers, _WORKERS)):
        if not low <= value <= high:
            raise ConfigError(f"{what} is {value}; it must be {low} to {high}")
    with open_ledger(whole.folder) as ledger:
        _begin(ledger, whole, service, project, subject_set)
        run = _Upload(
            whole, service, ledger, project, batch, workers, progress or (lambda done: None)
        )
        _look_through(run)
        quota = service.quota()
        n_to_create = ledger.count("new", "creating")
        if say_quota is not None:
            say_quota(quota, n_to_create)
        # Of those in doubt some may be there already; they are counted as if they were not.
        if quota.left is not None and ledger.count("new") > quota.left:
            raise InputError(
                f"{ledger.count('new')} subjects are to be created, and the account may create "
                f"{quota.left} more ({quota.used} of {quota.most} used); ask Zooniverse for more, "
                "or export fewer with --limit"
            )
        run.subject_set = _subject_set(run, name)
        run.progress(ledger.count("linked"))
        run.run()
        return _checked(run)


def _begin(
    ledger: UploadLedger, whole: SetToUpload, service: Zooniverse, project: int, subject_set: str
) -> None:
    """Enter the set, or see that the ledger is of the same undertaking."""
    asked = {"set_id": whole.set_id, "project": str(project), "endpoint": service.endpoint}
    for name, value in asked.items():
        held = ledger.about(name)
        if held and held != value:
            raise LedgerError(
                f"{whole.folder} was uploaded with {name} {held}, not {value}; a set goes to one "
                "place: export another for another"
            )
    held = ledger.about("subject_set")
    if subject_set and held and held != subject_set:
        raise LedgerError(
            f"{whole.folder} goes to subject set {held}, not {subject_set}; leave the option out"
        )
    service.project(project)
    if subject_set and not held:
        service.check_subject_set(project, subject_set)
        ledger.note(subject_set=subject_set)
    ledger.note(**asked)
    ledger.enter(whole.keys)


def _look_through(run: _Upload) -> None:
    """With a new ledger: what an earlier one, that is lost, brought up already."""
    ledger = run.ledger
    if ledger.about("looked"):
        return
    newest = 0
    for number, _ in run.service.subjects(run.project):
        newest = max(newest, number)
        break
    known = set(run.whole.keys)
    for key, numbers in run.found(0).items() if newest else ():
        if key in known:
            ledger.put("created", key, str(min(numbers)))
            run.n_found += 1
    ledger.note(looked="yes", floor=str(newest))


def _subject_set(run: _Upload, name: str) -> str:
    """Number of the subject set; made where there is none yet, and only then."""
    held = run.ledger.about("subject_set")
    if held:
        return held
    tries = run.service.patience.tries
    for _ in range(tries):
        found = run.service.find_subject_set(run.project, run.whole.set_id)
        if not found:
            try:
                found = run.service.create_subject_set(
                    run.project, name or run.whole.folder.absolute().name, run.whole.set_id
                )
                run.members_unsure = False
            except LostAnswerError as error:
                _log.info("subject set: %s", error)
                time.sleep(run.service.patience.settle_s)
                continue
        run.ledger.note(subject_set=found)
        return found
    raise AccessError(f"Zooniverse makes no subject set, {tries} times in a row; try later")


def _checked(run: _Upload) -> Uploaded:
    """What the service says that it has now."""
    rows = run.ledger.rows("linked")
    members = run.service.members(run.subject_set)
    absent = [row for row in rows if row.number not in members]
    if absent:
        run.ledger.put_all("stored", [row.key for row in absent])
        raise AccessError(
            f"{len(absent)} subjects are not in the subject set yet, though Zooniverse took them; "
            "start it again"
        )
    own = {row.number for row in rows}
    floor = int(run.ledger.about("floor") or 0)
    surplus = [
        str(number)
        for numbers in run.found(floor).values()
        for number in numbers
        if str(number) not in own
    ]
    return Uploaded(run.subject_set, len(rows), run.n_new, run.n_found, tuple(surplus))
