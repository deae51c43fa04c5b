"""The page's server: what it answers, and how it is run.

Nothing is loaded from elsewhere. Names, comments and headers go out as JSON and are put into the
page as text; no markup is ever made of them.
"""

# No postponed annotations here: FastAPI reads them, and its names are imported in functions.
import hashlib
import json
import math
import re
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from streaks.disk import json_integer
from streaks.errors import (
    ConfigError,
    InputError,
    MissingExtraError,
    OutputError,
    ReadError,
    StreaksError,
)
from streaks.night_folder.page import summarise
from streaks.palette import class_colour
from streaks.plotting import STRETCHES
from streaks.tables import CLASSES, SKIP, UNRESOLVED
from streaks.vetting.candidates import Candidates
from streaks.vetting.gate import Gate
from streaks.vetting.journal import LABEL, Journal, Judgement, judgement_of, person_name
from streaks.vetting.pictures import Pictures
from streaks.vetting.standing import Places

if TYPE_CHECKING:
    from fastapi import FastAPI, Request, Response

__all__ = ["build_app", "listening", "require_web", "serve"]

#: Bytes of a request, judgements in it, and candidates of one answer.
_MAX_BODY, _MAX_JUDGEMENTS, _MAX_LISTED, _MAX_DETAILS = 1 << 20, 200, 5000, 50
#: Rows of the journal that go out at once, and the largest running number that SQLite has.
_MAX_CHANGES, _MAX_SEQ = 20_000, (1 << 63) - 1
_KEYS = {str(i + 1): name for i, name in enumerate(CLASSES)} | {"8": UNRESOLVED, "0": SKIP}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ALWAYS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


def require_web() -> None:
    """Raise where the page's libraries are missing.

    Raises
    ------
    MissingExtraError
        Naming what to install, from an index and from a clone.
    """
    for library in ("fastapi", "uvicorn"):
        try:
            __import__(library)
        except ImportError:
            raise MissingExtraError(library, "web", "the page to judge on") from None


class _Gated:
    """An application behind a gate, with the headers that every answer bears."""

    def __init__(self, app: Application, gate: Gate) -> None:
        self._app, self._gate = app, gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                extra = [(k.encode(), v.encode()) for k, v in _ALWAYS.items()]
                message = {**message, "headers": [*message.get("headers", []), *extra]}
            await send(message)

        answer = self._answer(scope, headers)
        if answer is None:
            await self._app(scope, receive, send_with_headers)
            return
        status, more, body = answer
        plain = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
        start = {"type": "http.response.start", "status": status, "headers": [*plain, *more]}
        await send_with_headers(start)
        await send({"type": "http.response.body", "body": body})

    def _answer(
        self, scope: Scope, headers: Mapping[str, list[str]]
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes] | None:
        """What is answered without asking the application; None to ask it."""
        refusal = self._gate.refusal(scope["method"], scope["path"], headers)
        if refusal is None or refusal.status != 401:
            return None if refusal is None else (refusal.status, [], refusal.reason.encode())
        query = parse_qs(scope["query_string"].decode("latin-1"))
        given = query.get("token", [""])[0]
        if scope["path"] == "/" and scope["method"] == "GET" and self._gate.is_token(given):
            # The token goes from the address into a cookie, so that no screenshot shows it.
            cookie = f"{self._gate.cookie}={self._gate.token}; HttpOnly; SameSite=Lax; Path=/"
            return 303, [(b"location", b"/"), (b"set-cookie", cookie.encode())], b""
        return 401, [], refusal.reason.encode()


@dataclass(frozen=True, eq=False)
class _Desk:
    """What the answers are made of."""

    candidates: Candidates
    pictures: Pictures
    journal: Journal
    places: Places
    images: frozenset[str]

    def about(self) -> dict[str, Any]:
        """What the page is told of the night at its beginning."""
        candidates = self.candidates
        names = {"p_real": "p(real)", "p_asteroid": "p(asteroid)"}
        return {
            "title": summarise(candidates.night).title,
            "night": fingerprint(candidates),
            # What waits in a browser is of a folder, however often its night is run again.
            "folder": _short_hash(str(candidates.night.folder.root.resolve())),
            "n": len(candidates),
            "by": names.get(candidates.by, ""),
            "checked": bool(candidates.night.run.get("orbits")),
            "keys": [
                {"key": key, "label": label, "colour": class_colour(label)}
                for key, label in _KEYS.items()
            ],
            "stretches": list(STRETCHES),
        }

    def record(self, raw: Any) -> dict[str, Any]:
        """Keep what a page sent; ids that are kept, and those refused with the reason."""
        items = raw.get("judgements") if isinstance(raw, Mapping) else None
        if not isinstance(items, list) or not 0 < len(items) <= _MAX_JUDGEMENTS:
            raise InputError(f"judgements is a list of 1 to {_MAX_JUDGEMENTS}")
        refused: dict[str, str] = {}
        sound = []
        for item in items:
            try:
                sound.append(self._placed(judgement_of(item)))
            except InputError as error:
                name = item.get("id") if isinstance(item, Mapping) else None
                refused[str(name)[:64]] = str(error)
        refused |= self.journal.record(sound)
        kept = [one.id for one in sound if one.id not in refused]
        return {"kept": kept, "refused": refused}

    def _placed(self, one: Judgement) -> Judgement:
        """With the place that was judged: what the page showed, else where the streak lies.

        A page that is older than the night's last run knows a streak of this name elsewhere.
        """
        told = bool(one.image) and math.isfinite(one.x) and math.isfinite(one.y)
        if told and (one.image in self.images or one.streak_id in self.candidates.row_of):
            return one
        row = self.candidates.row_of.get(one.streak_id)
        if row is None:
            raise InputError(f"this night has no {one.streak_id[:100]!r}; load the page again")
        columns = self.candidates.columns
        return replace(
            one,
            image=str(columns["image"][row]),
            x=float(columns["x"][row]),
            y=float(columns["y"][row]),
        )

    def changes(self, person: str, after: int) -> dict[str, Any]:
        """What was judged after a running number.

        One's own in full; of others only which candidates, so that nobody is swayed. Each by the
        name that its streak has now.
        """
        rows = self.journal.after(after, _MAX_CHANGES)
        named = [(one, name) for one in rows if (name := self.places.name_now(one))]
        return {
            "seq": rows[-1].seq if rows else after,
            "more": len(rows) == _MAX_CHANGES,
            "mine": [
                {"id": one.id, "streak_id": name, "kind": one.kind, "value": one.value}
                for one, name in named if one.person == person
            ],
            "others": [
                [one.person, name] for one, name in named
                if one.person != person and one.kind == LABEL
            ],
        }  # fmt: skip


def fingerprint(candidates: Candidates) -> str:
    """A name for what the night holds now, by which a page sees that it was changed.

    Parameters
    ----------
    candidates
        Of the night.

    Returns
    -------
    str
    """
    columns = candidates.columns
    places = zip(columns["streak_id"], columns["x"], columns["y"], strict=True)
    return _short_hash("\0".join(f"{name} {x:.1f} {y:.1f}" for name, x, y in places))


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def build_app(candidates: Candidates, journal: Journal, gate: Gate) -> Application:
    """The application that answers the page's requests.

    Parameters
    ----------
    candidates
        Of the night.
    journal
        Where judgements are kept.
    gate
        Who is let in.

    Returns
    -------
    ASGI application

    Raises
    ------
    MissingExtraError
        Without the extra ``web``.
    """
    require_web()
    from fastapi import FastAPI

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    images = frozenset(map(str, candidates.columns["image"]))
    places = Places(candidates.night.streaks)
    desk = _Desk(candidates, Pictures(candidates), journal, places, images)
    _add_page(app, desk)
    _add_candidates(app, desk)
    _add_judgements(app, desk)
    _add_errors(app)
    return _Gated(app, gate)


def _add_page(app: "FastAPI", desk: _Desk) -> None:
    from fastapi import Request, Response

    page = _page(desk).encode()
    files = _static_files()

    @app.get("/")
    def index() -> Response:
        return Response(page, media_type="text/html", headers={"cache-control": "no-cache"})

    @app.get("/static/{name}")
    def static(name: str, request: Request) -> Response:
        if name not in files:
            return Response("no such file", 404)
        body = files[name]
        tag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
        return _tagged(request, tag, lambda: body, _TYPES[PurePosixPath(name).suffix])

    @app.get("/favicon.ico")
    def icon() -> Response:
        return Response(status_code=204)


def _add_candidates(app: "FastAPI", desk: _Desk) -> None:
    from fastapi import Request, Response

    candidates, pictures = desk.candidates, desk.pictures
    night = fingerprint(candidates)
    listed: dict[tuple[int, int], bytes] = {}

    def row_of(row: int) -> int:
        if not 0 <= row < len(candidates):
            raise InputError(f"there is no candidate {row}; the night has {len(candidates)}")
        return row

    def stretch(how: str) -> str:
        if how not in STRETCHES:
            raise InputError(f"no stretch is called {how[:40]!r}; use {', '.join(STRETCHES)}")
        return how

    @app.get("/api/night")
    def about() -> Response:
        return _json(desk.about())

    @app.get("/api/candidates")
    def listing(offset: int = 0, limit: int = 2000) -> Response:
        if not (0 <= offset <= len(candidates) and 1 <= limit <= _MAX_LISTED):
            raise InputError(f"offset is 0 to {len(candidates)}, limit 1 to {_MAX_LISTED}")
        key = offset, limit
        if key not in listed:
            if len(listed) > 100:
                listed.clear()
            listed[key] = _encoded(candidates.listed(offset, limit))
        return Response(
            listed[key], media_type="application/json", headers={"cache-control": "no-store"}
        )

    @app.get("/api/details")
    def details(rows: str) -> Response:
        numbers = rows.split(",")
        # Nine digits: a number that no row has may be too long for int().
        if len(numbers) > _MAX_DETAILS or not all(re.fullmatch("[0-9]{1,9}", n) for n in numbers):
            raise InputError(f"rows is 1 to {_MAX_DETAILS} numbers with commas between")
        return _json([candidates.details(row_of(int(number))) for number in numbers])

    @app.get("/api/picture/{row}")
    def picture(row: int, request: Request, how: str = "normal", of: str = night) -> Response:
        # A page that was opened before the night was run again would show one, and judge another.
        if of != night:
            return _json({"error": "the night was run again; load the page again"}, 409)
        at, how = row_of(row), stretch(how)
        tag = f'"{pictures.tag(at, how)}"'
        return _tagged(request, tag, lambda: pictures.strip(at, how), "image/png")

    @app.get("/api/others/{row}")
    def others(row: int) -> Response:
        return _json(pictures.others(row_of(row)))

    @app.get("/api/other/{row}/{frame}")
    def other(row: int, frame: int, request: Request, how: str = "normal") -> Response:
        at, how = row_of(row), stretch(how)
        if not 0 <= frame < len(candidates.night.frames):
            raise InputError(f"there is no exposure {frame}")
        tag = f'"{pictures.tag(at, how, str(frame))}"'
        return _tagged(request, tag, lambda: pictures.other(at, frame, how), "image/png")


def _add_judgements(app: "FastAPI", desk: _Desk) -> None:
    from fastapi import Request, Response
    from starlette.concurrency import run_in_threadpool

    @app.get("/api/judgements")
    def changes(person: str, after: int = 0) -> Response:
        return _json(desk.changes(person_name(person), min(max(0, after), _MAX_SEQ)))

    @app.post("/api/judgements")
    async def record(request: Request) -> Response:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            return _json({"error": "send application/json"}, 415)
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > _MAX_BODY:
                return _json({"error": f"more than {_MAX_BODY} bytes"}, 413)
        try:
            raw = json.loads(body, parse_int=json_integer)
        except (ValueError, RecursionError):
            raise InputError("the request holds no JSON") from None
        # Answered after the commit, so that what is acknowledged is kept.
        return _json(await run_in_threadpool(desk.record, raw))


def _add_errors(app: "FastAPI") -> None:
    from fastapi import Request, Response

    def say(request: Request, error: Exception) -> Response:
        status = 404 if isinstance(error, ReadError) else 400
        if isinstance(error, OutputError):
            status = 503
        return _json({"error": str(error)}, status)

    app.add_exception_handler(StreaksError, say)


def _encoded(content: Any) -> bytes:
    return json.dumps(content, separators=(",", ":"), allow_nan=False).encode()


def _json(content: Any, status: int = 200) -> "Response":
    from fastapi import Response

    return Response(
        _encoded(content), status, media_type="application/json",
        headers={"cache-control": "no-store"},
    )  # fmt: skip


def _tagged(request: "Request", tag: str, make: Callable[[], bytes], kind: str) -> "Response":
    """What is made, or that the browser has it already."""
    from fastapi import Response

    headers = {"etag": tag, "cache-control": "private, no-cache"}
    held = request.headers.get("if-none-match", "")
    if tag in [part.strip().removeprefix("W/") for part in held.split(",")]:
        return Response(status_code=304, headers=headers)
    return Response(make(), media_type=kind, headers=headers)


def _page(desk: _Desk) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("streaks.vetting", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page: str = environment.get_template("vet.html.jinja").render(desk.about())
    return page


def _static_files() -> dict[str, bytes]:
    folder = resources.files("streaks.vetting") / "static"
    return {
        file.name: file.read_bytes()
        for file in folder.iterdir()
        if PurePosixPath(file.name).suffix in _TYPES
    }


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens at an address.

    Parameters
    ----------
    host
        Name or address.
    port
        0 for any that is free.

    Yields
    ------
    socket

    Raises
    ------
    ConfigError
        If the address is not this machine's, or is taken.
    """
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"cannot listen at {host}: {error.strerror}; try --host") from None
    with closing(bound):
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            bound.listen(128)
        except OSError as error:
            raise ConfigError(
                f"cannot listen at {host}, port {port}: {error.strerror}; "
                "choose another with --port (0 for any that is free)"
            ) from None
        yield bound


def serve(app: Application, bound: socket.socket) -> None:
    """Answer requests until the process is told to stop.

    Parameters
    ----------
    app
        Of `build_app`.
    bound
        Of `listening`.
    """
    import uvicorn

    config = uvicorn.Config(
        app, log_level="warning", access_log=False, proxy_headers=False, server_header=False,
        timeout_graceful_shutdown=3, lifespan="off",
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[bound])
