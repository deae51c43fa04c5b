"""A stand-in of Zooniverse's API on this machine, which fails as the real one does.

It answers what the official client and an upload ask: login, token, ``/me``, projects, subject
sets, subjects, their pictures and members of sets. By a seeded plan it answers 504 (with or without
having done the work), drops the connection, or does the work and forgets the answer.
"""

from __future__ import annotations

import json
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

__all__ = ["PASSWORD", "USERNAME", "Standin", "running_standin"]

USERNAME, PASSWORD = "astronomer", "never-written-anywhere"
PROJECT = 77


@dataclass
class Standin:
    """What the service holds, and how it fails."""

    #: Shares of requests to the API: answered 504 undone, done and then 504, dropped undone, done
    #: and the connection dropped.
    undone_504: float = 0.0
    done_504: float = 0.0
    dropped: float = 0.0
    forgotten: float = 0.0
    #: Share of pictures that are refused with 503, and of addresses that are no longer good.
    bad_pictures: float = 0.0
    expired: float = 0.0
    #: Seconds that each creation takes.
    slow_s: float = 0.0
    #: Whether subjects are listed newest first when asked to.
    sorts: bool = True
    most_subjects: int = 100_000
    seed: int = 1
    subjects: dict[int, dict[str, Any]] = field(default_factory=dict)
    sets: dict[int, dict[str, Any]] = field(default_factory=dict)
    members: dict[int, list[int]] = field(default_factory=dict)
    media: dict[str, bytes] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    links: list[int] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        self._random = random.Random(self.seed)
        self._next = 1000
        self._addresses = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def number(self) -> int:
        self._next += 1
        return self._next

    def fate(self) -> str:
        with self.lock:
            value = self._random.random()
        for name in ("undone_504", "done_504", "dropped", "forgotten"):
            value -= getattr(self, name)
            if value < 0:
                with self.lock:
                    self.failures[name] += 1
                return name
        return ""

    def picture_address(self) -> str:
        self._addresses += 1
        return f"{self.address}/media/{self._addresses}"

    def keys(self, heading: str = "#streaks_key") -> Counter[str]:
        """How many subjects there are of each key."""
        return Counter(str(one["metadata"].get(heading)) for one in self.subjects.values())

    def pictures_of(self, number: int) -> list[bytes]:
        """What arrived of a subject's pictures."""
        locations = self.subjects[number]["locations"]
        return [self.media.get(next(iter(one.values())), b"") for one in locations]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    standin: Standin

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def do_PUT(self) -> None:
        self._serve("PUT")

    def _serve(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, asked = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        one = {name: values[0] for name, values in asked.items()}
        standin = self.standin
        if path.startswith("/media/"):
            self._media(path, body)
            return
        fate = standin.fate()
        if fate == "dropped":
            self._drop()
            return
        if fate == "undone_504":
            self._reply(504, b"<html>gateway timeout</html>", "text/html")
            return
        status, answer, headers = self._api(method, path, one, body)
        if fate == "forgotten":
            self._drop()
        elif fate == "done_504":
            self._reply(504, b"<html>gateway timeout</html>", "text/html")
        else:
            self._reply(status, json.dumps(answer).encode(), "application/json", headers)

    def _media(self, path: str, body: bytes) -> None:
        standin = self.standin
        with standin.lock:
            value = standin._random.random()
        if value < standin.bad_pictures:
            self._reply(503, b"", "text/plain")
        elif value < standin.bad_pictures + standin.expired:
            self._reply(403, b"", "text/plain")
        else:
            assert self.headers["Content-Type"] == "image/png"
            with standin.lock:
                standin.media[standin.address + path] = body
            self._reply(201, b"", "text/plain")

    def _api(
        self, method: str, path: str, asked: dict[str, str], body: bytes
    ) -> tuple[int, Any, dict[str, str]]:
        standin = self.standin
        if path == "/users/sign_in":
            if method == "GET":
                return 200, {}, {"X-CSRF-Token": "token"}
            login = json.loads(body)["user"]
            if (login["login"], login["password"]) != (USERNAME, PASSWORD):
                return 401, {"error": "Invalid email or password."}, {}
            return 200, {"users": [{"id": "5"}]}, {}
        if path == "/oauth/token":
            return 200, {"access_token": "abc", "refresh_token": "def", "expires_in": 7200}, {}
        if self.headers.get("Authorization") != "Bearer abc":
            return 401, {"errors": [{"message": "You must be logged in"}]}, {}
        parts = path.removeprefix("/api/").split("/")
        if method == "POST" and parts == ["subjects"] and standin.slow_s:
            time.sleep(standin.slow_s)
        with standin.lock:
            standin.asked[f"{method} {parts[0]}"] += 1
            return self._resource(method, parts, asked, json.loads(body) if body else {})

    def _resource(
        self, method: str, parts: list[str], asked: dict[str, str], sent: Any
    ) -> tuple[int, Any, dict[str, str]]:
        standin = self.standin
        match method, parts:
            case "GET", ["me"]:
                used = len(standin.subjects)
                user = {"uploaded_subjects_count": used, "max_subjects": standin.most_subjects}
                return 200, {"users": [user]}, {}
            case "GET", ["projects", number]:
                if int(number) != PROJECT:
                    return 404, {"errors": [{"message": f"Could not find project {number}"}]}, {}
                return 200, {"projects": [{"id": number, "display_name": "Streaks"}]}, {}
            case "GET", ["subject_sets"]:
                return 200, self._page("subject_sets", list(standin.sets.values()), asked), {}
            case "GET", ["subject_sets", number]:
                return 200, {"subject_sets": [standin.sets[int(number)]]}, {}
            case "POST", ["subject_sets"]:
                made = {**sent["subject_sets"], "id": str(standin.number())}
                standin.sets[int(made["id"])] = made
                return 201, {"subject_sets": [made]}, {}
            case "POST", ["subject_sets", number, "links", "subjects"]:
                held = standin.members.setdefault(int(number), [])
                standin.links.append(len(sent["subjects"]))
                if any(int(one) in held for one in sent["subjects"]):
                    return 422, {"errors": [{"message": "Subject has already been taken"}]}, {}
                held += [int(one) for one in sent["subjects"]]
                return 200, {"subject_sets": [standin.sets[int(number)]]}, {}
            case "GET", ["set_member_subjects"]:
                rows = [
                    {"id": str(i), "links": {"subject": str(one)}}
                    for i, one in enumerate(standin.members.get(int(asked["subject_set_id"]), []))
                ]
                return 200, self._page("set_member_subjects", rows, asked), {}
            case "GET", ["subjects"]:
                rows = [standin.subjects[number] for number in sorted(standin.subjects)]
                if asked.get("sort") == "-id" and standin.sorts:
                    rows.reverse()
                return 200, self._page("subjects", rows, asked), {}
            case "GET", ["subjects", number]:
                return 200, {"subjects": [standin.subjects[int(number)]]}, {"ETag": "now"}
            case "POST", ["subjects"]:
                if len(standin.subjects) >= standin.most_subjects:
                    reason = f"User has uploaded {len(standin.subjects)} subjects of the maximum"
                    return 403, {"errors": [{"message": reason}]}, {}
                made = {**sent["subjects"], "id": str(standin.number())}
                made["locations"] = self._locations(made["locations"])
                standin.subjects[int(made["id"])] = made
                return 201, {"subjects": [made]}, {}
            case "PUT", ["subjects", number]:
                if self.headers.get("If-Match") != "now":
                    return 428, {"errors": [{"message": "Request requires If-Match"}]}, {}
                standin.subjects[int(number)]["locations"] = self._locations(
                    sent["subjects"]["locations"]
                )
                return 200, {"subjects": [standin.subjects[int(number)]]}, {}
        return 404, {"errors": [{"message": "no such thing"}]}, {}

    def _locations(self, kinds: list[str]) -> list[dict[str, str]]:
        return [{kind: self.standin.picture_address()} for kind in kinds]

    def _page(self, kind: str, rows: list[Any], asked: dict[str, str]) -> dict[str, Any]:
        size, page = int(asked.get("page_size", 20)), int(asked.get("page", 1))
        of = max(1, -(-len(rows) // size))
        shown = rows[(page - 1) * size : page * size]
        return {kind: shown, "meta": {kind: {"page": page, "page_count": of, "count": len(rows)}}}

    def _reply(
        self, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None
    ) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            # Whoever asked was killed.
            self.close_connection = True

    def _drop(self) -> None:
        """Reset the connection, as a machine in between does."""
        self.close_connection = True
        try:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        except OSError:
            pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: Any) -> None:
        """Connections that were dropped on purpose are no news."""


@contextmanager
def running_standin(standin: Standin) -> Iterator[Standin]:
    """A stand-in that listens on a free port of this machine."""
    handler = type("Handler", (_Handler,), {"standin": standin})
    server = _Server(("127.0.0.1", 0), handler)
    standin.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield standin
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
