"""Zooniverse's API as an upload needs it: each request by itself, and whether it may be repeated.

The official client (`panoptes_client`) logs in and sends; its `Subject.save` is not used. That
creates a subject again after an answer of 5xx, though the first request may have been carried out,
and it drops a picture silently after five failures. Here a request that creates something is sent
once; where its answer is lost, the caller looks whether it was carried out before it asks again.
"""

from __future__ import annotations

import itertools
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from streaks.disk import Limits, read_bytes
from streaks.errors import AccessError, ConfigError, InputError, MissingExtraError, ReadError

__all__ = [
    "Credentials",
    "LostAnswerError",
    "Patience",
    "Quota",
    "Zooniverse",
    "connect",
    "read_credentials",
]

_log = logging.getLogger(__name__)
Result = TypeVar("Result")

#: What the official command line keeps its settings in.
_CONFIG = Path("~/.panoptes/config.yml")
_PAGE = 100
#: A project of more subjects than this many pages hold is not looked through.
_MOST_PAGES = 20_000
#: Without an answer for so long a request is given up, s.
_TIMEOUT_S = 90.0
_LONGEST_PAUSE_S = 60.0
_PNG = "image/png"


class LostAnswerError(Exception):
    """A request was sent, and nobody knows whether it was carried out."""


@dataclass(frozen=True)
class Patience:
    """How failures of the service are met.

    Parameters
    ----------
    tries
        Requests that may be repeated are sent so often.
    pause_s
        Wait after the first failure, s; each further one is twice as long, up to a minute.
    settle_s
        Wait from a lost answer until one looks whether the request was carried out, s: a gateway
        may give up long before the machines behind it.
    """

    tries: int = 8
    pause_s: float = 2.0
    settle_s: float = 60.0

    def __post_init__(self) -> None:
        if self.tries < 1 or not 0 <= self.pause_s <= 600 or not 0 <= self.settle_s <= 3600:
            raise ConfigError(
                f"tries {self.tries}, pause {self.pause_s} s, settle {self.settle_s} s; expected "
                "at least 1, 0 to 600 and 0 to 3600"
            )

    def pause(self, failures: int) -> None:
        """Wait before the next try.

        Parameters
        ----------
        failures
            So many in a row, from 1.
        """
        longest = min(self.pause_s * 2 ** (failures - 1), _LONGEST_PAUSE_S)
        # Of many uploads that failed together not all come back together.
        time.sleep(longest * random.uniform(0.5, 1.0))


@dataclass(frozen=True)
class Credentials:
    """How to log in; kept in memory only.

    Parameters
    ----------
    username, password
        Of the account; empty where the client's own variables name an application instead.
    endpoint
        Address of the service; empty for the client's own.
    """

    username: str = ""
    password: str = ""
    endpoint: str = ""

    def __repr__(self) -> str:
        return f"Credentials(username={self.username!r})"


@dataclass(frozen=True)
class Quota:
    """Subjects that an account has uploaded, and may.

    Parameters
    ----------
    used
        Those ever uploaded: deleted ones count.
    most
        None where the service does not tell.
    """

    used: int
    most: int | None

    @property
    def left(self) -> int | None:
        """How many may still be uploaded; None where unknown."""
        return None if self.most is None else max(0, self.most - self.used)


def read_credentials() -> Credentials:
    """Credentials from where the official clients look for them; nothing is written anywhere.

    The environment (``PANOPTES_USERNAME`` and ``PANOPTES_PASSWORD``, or ``PANOPTES_CLIENT_ID`` and
    ``PANOPTES_CLIENT_SECRET``; ``PANOPTES_ENDPOINT``), else ``~/.panoptes/config.yml``.

    Returns
    -------
    Credentials

    Raises
    ------
    AccessError
        If there are none.
    """
    told = os.environ
    endpoint = told.get("PANOPTES_ENDPOINT", "")
    username, password = told.get("PANOPTES_USERNAME", ""), told.get("PANOPTES_PASSWORD", "")
    if username and password:
        return Credentials(username, password, endpoint)
    if told.get("PANOPTES_CLIENT_ID") and told.get("PANOPTES_CLIENT_SECRET"):
        return Credentials(endpoint=endpoint)
    held = _config_file(_CONFIG.expanduser())
    username, password = str(held.get("username") or ""), str(held.get("password") or "")
    if username and password:
        return Credentials(username, password, endpoint or str(held.get("endpoint") or ""))
    raise AccessError(
        "no credentials for Zooniverse: set PANOPTES_USERNAME and PANOPTES_PASSWORD, or run "
        f"`panoptes configure`, which writes {_CONFIG}; --dry-run needs none"
    )


def _config_file(path: Path) -> Mapping[str, Any]:
    import yaml

    if not path.is_file():
        return {}
    try:
        held = yaml.safe_load(read_bytes(path, Limits(max_bytes=1 << 20)))
    except (ReadError, yaml.YAMLError):
        # The message of a parser would quote what may be a password.
        raise AccessError(f"{path} cannot be read; run `panoptes configure` again") from None
    return held if isinstance(held, dict) else {}


def connect(credentials: Credentials, patience: Patience) -> Zooniverse:
    """Log in.

    Parameters
    ----------
    credentials
        Of `read_credentials`.
    patience
        With failures.

    Returns
    -------
    Zooniverse

    Raises
    ------
    MissingExtraError
        Without the extra ``zooniverse``.
    AccessError
        If the service refuses, or cannot be reached.
    """
    import requests

    client_type, refused = _client_type()

    def log_in() -> Any:
        try:
            client = client_type(
                endpoint=credentials.endpoint or None,
                username=credentials.username or None,
                password=credentials.password or None,
            )
            client.get_bearer_token()
        except (requests.RequestException, ValueError, KeyError) as error:
            raise LostAnswerError(_plain(error)) from None
        if not client.logged_in:
            raise LostAnswerError("the service gave no token")
        return client

    try:
        client = _patiently(log_in, patience, "log in")
    except refused as error:
        raise AccessError(
            f"Zooniverse refuses the credentials ({str(error)[:200]}); check them with "
            "`panoptes configure`"
        ) from None
    return Zooniverse(client, refused, patience)


def _client_type() -> tuple[Any, type[Exception]]:
    """The official client with a time limit on each request, and the error it raises."""
    try:
        from panoptes_client import Panoptes
        from panoptes_client.panoptes import PanoptesAPIException
    except ImportError:
        raise MissingExtraError("panoptes_client", "zooniverse", "uploading subjects") from None

    class Client(Panoptes):  # type: ignore[misc]
        @property
        def session(self) -> Any:
            return self._session

        @session.setter
        def session(self, made: Any) -> None:
            self._session = _limited(made)

    return Client, PanoptesAPIException


def _limited(session: Any) -> Any:
    """A session whose requests end: the client's own would wait for ever."""
    from requests.adapters import HTTPAdapter

    class Adapter(HTTPAdapter):
        def send(self, request: Any, **options: Any) -> Any:  # type: ignore[override]
            options["timeout"] = options.get("timeout") or _TIMEOUT_S
            return super().send(request, **options)

    for scheme in ("http://", "https://"):
        session.mount(scheme, Adapter(pool_maxsize=16))
    return session


def _patiently(ask: Callable[[], Result], patience: Patience, what: str) -> Result:
    """What may be asked again, asked until there is an answer."""
    for failures in itertools.count(1):
        try:
            return ask()
        except LostAnswerError as error:
            if failures >= patience.tries:
                raise AccessError(
                    f"Zooniverse does not {what} ({error}), {failures} times in a row; start it "
                    "again later: what is done stays done"
                ) from None
            _log.info("%s: %s; trying again", what, error)
            patience.pause(failures)
    raise AssertionError  # pragma: no cover


class Zooniverse:
    """A logged-in connection; threads may share it.

    Parameters
    ----------
    client
        Of `connect`.
    refused
        The client's own error.
    patience
        With failures.
    """

    def __init__(self, client: Any, refused: type[Exception], patience: Patience) -> None:
        import requests

        self._client, self._refused, self.patience = client, refused, patience
        self._token = threading.Lock()
        self._media = _limited(requests.Session())

    @property
    def endpoint(self) -> str:
        """Address of the service."""
        return str(self._client.endpoint)

    def quota(self) -> Quota:
        """What the account may still upload.

        Returns
        -------
        Quota
        """
        user = _first(self._get("/me", "tell the quota"), "users")
        most = user.get("max_subjects", user.get("subject_limit"))
        return Quota(
            int(user.get("uploaded_subjects_count") or 0), None if most is None else int(most)
        )

    def project(self, project: int) -> str:
        """The name of a project.

        Parameters
        ----------
        project
            Its number.

        Returns
        -------
        str
        """
        found = _first(self._get(f"/projects/{project}", "show the project"), "projects")
        return str(found.get("display_name") or project)

    def check_subject_set(self, project: int, subject_set: str) -> None:
        """Raise unless a subject set is there and of the project.

        Parameters
        ----------
        project
            Number of the project.
        subject_set
            Number of the set.

        Raises
        ------
        InputError
            If it is of another project.
        """
        told = self._get(f"/subject_sets/{subject_set}", "show the subject set")
        of = str((_first(told, "subject_sets").get("links") or {}).get("project"))
        if of != str(project):
            raise InputError(f"subject set {subject_set} is of project {of}, not {project}")

    def find_subject_set(self, project: int, mark: str) -> str:
        """The subject set that an earlier run made for an exported set.

        Parameters
        ----------
        project
            Number of the project.
        mark
            The exported set's id, which is in its metadata.

        Returns
        -------
        str
            Its number; empty where there is none.
        """
        for rows in self._pages("subject_sets", {"project_id": project}):
            for one in rows:
                if (one.get("metadata") or {}).get("streaks_set") == mark:
                    return str(one["id"])
        return ""

    def create_subject_set(self, project: int, name: str, mark: str) -> str:
        """Make a subject set.

        Parameters
        ----------
        project
            Number of the project.
        name
            That people see.
        mark
            By which `find_subject_set` finds it.

        Returns
        -------
        str
            Its number.

        Raises
        ------
        LostAnswerError
            When nobody knows whether it was made.
        """
        body = {"display_name": name, "metadata": {"streaks_set": mark},
                "links": {"project": str(project)}}  # fmt: skip
        made = self._answer(self._send("POST", "/subject_sets", json={"subject_sets": body}))
        return str(made["subject_sets"][0]["id"])

    def create_subject(
        self, project: int, n_pictures: int, metadata: Mapping[str, str]
    ) -> tuple[str, list[str]]:
        """Make a subject; its pictures are sent by themselves.

        Parameters
        ----------
        project
            Number of the project.
        n_pictures
            PNG pictures that it will have.
        metadata
            What is known of it.

        Returns
        -------
        subject : str
            Its number.
        addresses : list of str
            Where its pictures go, in order.

        Raises
        ------
        LostAnswerError
            When nobody knows whether it was made.
        """
        body = {"locations": [_PNG] * n_pictures, "metadata": dict(metadata),
                "links": {"project": str(project)}}  # fmt: skip
        made = self._answer(self._send("POST", "/subjects", json={"subjects": body}))
        try:
            subject = made["subjects"][0]
            return str(subject["id"]), _addresses(subject)
        except (KeyError, IndexError, TypeError):
            raise LostAnswerError("the answer tells no subject") from None

    def new_addresses(self, subject: str, n_pictures: int) -> list[str]:
        """Where the pictures of a subject go that has none yet.

        Parameters
        ----------
        subject
            Its number.
        n_pictures
            How many.

        Returns
        -------
        list of str
        """

        def ask() -> list[str]:
            shown = self._send("GET", f"/subjects/{subject}")
            self._answer(shown)
            body = {"subjects": {"locations": [_PNG] * n_pictures}}
            sent = self._send(
                "PUT", f"/subjects/{subject}", json=body, etag=shown.headers.get("ETag")
            )
            return _addresses(self._answer(sent)["subjects"][0])

        return _patiently(ask, self.patience, "take pictures")

    def send_picture(self, address: str, picture: bytes) -> bool:
        """Send one picture.

        Parameters
        ----------
        address
            Of `create_subject` or `new_addresses`.
        picture
            PNG.

        Returns
        -------
        bool
            False where the address is no longer good.

        Raises
        ------
        AccessError
            When it was not taken in all tries.
        """
        import requests

        headers = {"Content-Type": _PNG, "x-ms-blob-type": "BlockBlob"}

        def ask() -> bool:
            try:
                answer = self._media.put(address, data=picture, headers=headers)
            except requests.RequestException as error:
                raise LostAnswerError(_plain(error)) from None
            if answer.status_code >= 500 or answer.status_code in (408, 429):
                raise LostAnswerError(f"status {answer.status_code}")
            return bool(answer.status_code < 400)

        return _patiently(ask, self.patience, "take a picture")

    def subjects(self, project: int, *, above: int = 0) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Subjects of a project, the newest first where the service sorts.

        Parameters
        ----------
        project
            Number of the project.
        above
            Those numbered up to this need not come.

        Yields
        ------
        subject : int
            Its number.
        metadata : mapping
        """
        for rows in self._pages("subjects", {"project_id": project, "sort": "-id"}):
            numbers = [int(one["id"]) for one in rows]
            for number, one in zip(numbers, rows, strict=True):
                of = (one.get("links") or {}).get("project")
                if number > above and (of is None or str(of) == str(project)):
                    yield number, one.get("metadata") or {}
            # Were they in another order, old ones would say nothing about those that follow.
            falling = all(a > b for a, b in itertools.pairwise(numbers))
            if falling and len(numbers) > 1 and numbers[-1] <= above:
                return

    def members(self, subject_set: str) -> set[str]:
        """Numbers of the subjects of a set.

        Parameters
        ----------
        subject_set
            Its number.

        Returns
        -------
        set of str
        """
        asked = {"subject_set_id": subject_set}
        return {
            str(one["links"]["subject"])
            for rows in self._pages("set_member_subjects", asked)
            for one in rows
        }

    def link(self, subject_set: str, subjects: Sequence[str]) -> None:
        """Put subjects into a set, all at once.

        Parameters
        ----------
        subject_set
            Number of the set.
        subjects
            Numbers of subjects that are not in it.

        Raises
        ------
        LostAnswerError
            When nobody knows whether it was done.
        """
        path = f"/subject_sets/{subject_set}/links/subjects"
        self._answer(self._send("POST", path, json={"subjects": list(subjects)}))

    def _pages(self, kind: str, asked: Mapping[str, Any]) -> Iterator[list[Any]]:
        for page in range(1, _MOST_PAGES):
            told = self._get(
                f"/{kind}", f"list {kind}", {**asked, "page": page, "page_size": _PAGE}
            )
            yield list(told.get(kind) or ())
            if page >= int((told.get("meta") or {}).get(kind, {}).get("page_count") or 1):
                return
        raise AccessError(f"the project has more {kind} than can be looked through")

    def _get(self, path: str, what: str, params: Mapping[str, Any] | None = None) -> Any:
        return _patiently(
            lambda: self._answer(self._send("GET", path, params=params)), self.patience, what
        )

    def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        etag: str | None = None,
    ) -> Any:
        """One request; status codes below 500 are for `_answer`."""
        import requests

        for failures in itertools.count(1):
            try:
                with self._token:
                    self._client.get_bearer_token()
                answer = self._client.http_request(
                    method, path, params=dict(params or {}), json=json, etag=etag, retry=False
                )
            except (requests.RequestException, ValueError, KeyError, self._refused) as error:
                raise LostAnswerError(_plain(error)) from None
            # Too many requests: this one was surely not carried out.
            if answer.status_code != 429 or failures >= self.patience.tries:
                return answer
            self.patience.pause(failures)
        raise AssertionError  # pragma: no cover

    def _answer(self, response: Any) -> Any:
        """What was answered, as JSON."""
        status = int(response.status_code)
        if 400 <= status < 500:
            raise InputError(
                f"Zooniverse refuses {response.request.method} {response.request.path_url[:80]}: "
                f"{_reason(response)} (status {status})"
            )
        if not response.content:
            return {}
        try:
            return response.json()
        except ValueError:
            raise LostAnswerError("the answer is cut short") from None


def _first(told: Any, kind: str) -> Mapping[str, Any]:
    """The one thing that was asked for."""
    found = told.get(kind) if isinstance(told, dict) else None
    if not found:
        raise InputError(f"Zooniverse has no such {kind}; check the number")
    one: Mapping[str, Any] = found[0]
    return one


def _addresses(subject: Mapping[str, Any]) -> list[str]:
    return [str(address) for one in subject["locations"] for address in one.values()]


def _reason(response: Any) -> str:
    try:
        told = response.json()
        errors = told.get("errors") or [{"message": told.get("error")}]
        return " ".join("; ".join(str(one.get("message")) for one in errors).split())[:300]
    except (ValueError, AttributeError, TypeError):
        return "without a reason"


def _plain(error: Exception) -> str:
    """An error in one line, without the addresses that may hold a signature."""
    return f"{type(error).__name__}" if "://" in str(error) else " ".join(str(error).split())[:160]
