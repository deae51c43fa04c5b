"""Schemas of packets that do not bring their own: from a folder, a registry, or LSST's package.

A message on Kafka begins with a zero byte and four bytes that number its schema (Confluent's wire
format). Rubin numbers its schemas by version: 900 is 9.0. None is shipped here: LSST's are under
GPL. They are read from where the user has them.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import re
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streaks.disk import Limits, parse_json, read_bytes
from streaks.errors import AccessError, ConfigError, ReadError

__all__ = ["WIRE_HEADER_BYTES", "SchemaSource", "wire_schema_id"]

#: A zero byte, and four bytes of the schema's number.
WIRE_HEADER_BYTES = 5
_MAX_SCHEMA_BYTES = 1 << 22
#: Named types that one schema refers to, and references of those.
_MAX_REFERENCES, _MAX_DEPTH = 64, 16
_TIMEOUT_S = 30.0
_PRIMITIVE = frozenset(
    ("null", "boolean", "int", "long", "float", "double", "bytes", "string", "record", "error",
     "enum", "array", "map", "fixed")
)  # fmt: skip
#: Plain names only: they are parts of paths and of addresses.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


def wire_schema_id(content: bytes) -> int | None:
    """The number of a message's schema; None where it is not in Confluent's wire format.

    Parameters
    ----------
    content
        The message, or its beginning.

    Returns
    -------
    int or None
    """
    if len(content) <= WIRE_HEADER_BYTES or content[0] != 0:
        return None
    # Registries count from 1; what begins with five zeros is something else.
    return int.from_bytes(content[1:WIRE_HEADER_BYTES], "big") or None


class SchemaSource:
    """Finds schemas by number, each once.

    Parameters
    ----------
    place
        A folder with ``900.avsc`` (or ``.json``), with LSST's files ``lsst.v9_0.alert.avsc`` or
        its tree ``9/0/``; or the address of a registry. Where not given, LSST's own package
        (``lsst-alert-packet``) is used where it is installed.

    Raises
    ------
    ConfigError
        If the place is neither a folder nor an address.
    """

    def __init__(self, place: str | os.PathLike[str] | None = None) -> None:
        text = "" if place is None else os.fspath(place)
        self._url = text.rstrip("/") if re.match(r"https?://", text) else ""
        self._folders: tuple[Path, ...] = ()
        if text and not self._url:
            if not Path(text).is_dir():
                raise ConfigError(
                    f"--schemas {text} is no folder and no address; give a folder of .avsc files "
                    "or the https:// address of a registry"
                )
            self._folders = (Path(text),)
        elif not text:
            self._folders = _installed_folders()
        self._found: dict[int, bytes] = {}
        self._lock = threading.Lock()

    def schema(self, number: int) -> bytes:
        """The text of a schema, with all that it refers to within it.

        Parameters
        ----------
        number
            Of the schema.

        Returns
        -------
        bytes
            JSON.

        Raises
        ------
        ReadError
            If there is none, or it is none. `AccessError` where a registry cannot be reached.
        """
        with self._lock:
            if number not in self._found:
                self._found[number] = self._look_up(number)
            return self._found[number]

    def _look_up(self, number: int) -> bytes:
        if self._url:
            return _from_registry(self._url, number)
        for folder in self._folders:
            found = _from_folder(folder, number)
            if found is not None:
                return found
        raise ReadError(
            f"its schema has the number {number} and is not known; give --schemas with a folder "
            "of .avsc files or a registry's address"
        )


def _installed_folders() -> tuple[Path, ...]:
    """Where LSST's package keeps its schemas; it is looked up and never imported."""
    try:
        spec = importlib.util.find_spec("lsst.alert.packet")
    except (ImportError, ValueError, AttributeError):
        return ()
    places = [] if spec is None else list(spec.submodule_search_locations or [])
    return tuple(Path(p) / "schema" for p in places if (Path(p) / "schema").is_dir())


def _from_folder(folder: Path, number: int) -> bytes | None:
    for name in (f"{number}.avsc", f"{number}.json"):
        if (folder / name).is_file():
            return _whole(folder / name)
    major, minor = divmod(number, 100)
    name = f"lsst.v{major}_{minor}.alert.avsc"
    for place in (folder, folder / str(major) / str(minor)):
        if (place / name).is_file():
            return _whole(place / name)
    return None


def _whole(path: Path) -> bytes:
    """A schema with the types that it only names put in, from files of those names beside it."""

    def read(name: str) -> Any:
        return _read_json(path.with_name(f"{name}.avsc"))

    return _resolved(_read_json(path), read, str(path))


def _read_json(path: Path) -> Any:
    return parse_json(read_bytes(path, Limits(max_bytes=_MAX_SCHEMA_BYTES)), str(path))


def _from_registry(url: str, number: int) -> bytes:
    answer = _fetch(f"{url}/schemas/ids/{number}")
    schema = parse_json(str(answer.get("schema", "")), "the registry's schema")
    named: dict[str, Any] = {}
    for reference in _references(answer):
        name, subject = str(reference.get("name")), str(reference.get("subject"))
        version = reference.get("version")
        if not isinstance(version, int):
            raise ReadError(f"the registry refers to version {str(version)[:40]} of a schema")
        quoted = urllib.parse.quote(subject, safe="")
        inner = _fetch(f"{url}/subjects/{quoted}/versions/{version}")
        named[name] = parse_json(str(inner.get("schema", "")), "the registry's schema")

    def read(name: str) -> Any:
        if name not in named:
            raise ReadError(f"the registry's schema {number} names a type {name!r} that it lacks")
        return named[name]

    return _resolved(schema, read, f"schema {number} of {url}")


def _references(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = answer.get("references")
    listed = [r for r in found if isinstance(r, dict)] if isinstance(found, list) else []
    return listed[:_MAX_REFERENCES]


def _fetch(address: str) -> Mapping[str, Any]:
    parts = urllib.parse.urlsplit(address)
    headers = {"Accept": "application/vnd.schemaregistry.v1+json, application/json"}
    if parts.username is not None:
        words = (
            f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        )
        headers["Authorization"] = "Basic " + base64.b64encode(words.encode()).decode()
    host = parts.hostname or ""
    where = f"{host}:{parts.port}" if parts.port else host
    bare = urllib.parse.urlunsplit((parts.scheme, where, parts.path, parts.query, ""))
    request = urllib.request.Request(bare, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
            content = answer.read(_MAX_SCHEMA_BYTES + 1)
    except urllib.error.HTTPError as error:
        raise ReadError(f"{bare} answers {error.code}; check the registry's address") from None
    except (OSError, ValueError) as error:
        raise AccessError(f"{bare} cannot be reached: {error}") from None
    if len(content) > _MAX_SCHEMA_BYTES:
        raise ReadError(f"{bare} answers with more than {_MAX_SCHEMA_BYTES >> 20} MB")
    found = parse_json(content, bare)
    if not isinstance(found, dict):
        raise ReadError(f"{bare} answers with no JSON object")
    return found


def _resolved(schema: Any, read: Any, where: str) -> bytes:
    resolver = _Resolver(read, where)
    return json.dumps(resolver.walk(schema, "", 0)).encode()


class _Resolver:
    """Puts the definition of a named type where the name is met first."""

    def __init__(self, read: Any, where: str) -> None:
        self._read, self._where, self._known = read, where, set[str]()

    def walk(self, schema: Any, space: str, depth: int) -> Any:
        """The schema of a type with all others within it."""
        if depth > 4 * _MAX_DEPTH:
            raise ReadError(f"{self._where} is nested too deeply for a schema of packets")
        if isinstance(schema, str):
            return self._of_name(schema, space, depth)
        if isinstance(schema, list):
            return [self.walk(one, space, depth + 1) for one in schema]
        if not isinstance(schema, dict):
            raise ReadError(f"{self._where} has a type {str(schema)[:40]!r}")
        return self._of_mapping(schema, space, depth)

    def _of_name(self, name: str, space: str, depth: int) -> Any:
        if name in _PRIMITIVE:
            return name
        full = name if "." in name or not space else f"{space}.{name}"
        if full in self._known:
            return full
        if name in self._known:
            return name
        if not _NAME.fullmatch(full) or ".." in full:
            raise ReadError(f"{self._where} names a type {full[:40]!r}")
        if len(self._known) > _MAX_REFERENCES:
            raise ReadError(f"{self._where} refers to more than {_MAX_REFERENCES} types")
        return self.walk(self._read(full), "", depth + 1)

    def _of_mapping(self, schema: dict[str, Any], space: str, depth: int) -> Any:
        found = dict(schema)
        kind = found.get("type")
        if kind in ("record", "error", "enum", "fixed"):
            name = str(found.get("name"))
            space = str(found.get("namespace", space))
            full = name if "." in name or not space else f"{space}.{name}"
            space = full.rpartition(".")[0]
            self._known.add(full)
        if kind in ("record", "error"):
            fields = found.get("fields")
            found["fields"] = [
                {**field, "type": self.walk(field.get("type"), space, depth + 1)}
                for field in (fields if isinstance(fields, list) else [])
                if isinstance(field, dict)
            ]
        elif kind == "array":
            found["items"] = self.walk(found.get("items"), space, depth + 1)
        elif kind == "map":
            found["values"] = self.walk(found.get("values"), space, depth + 1)
        elif not isinstance(kind, str):
            found["type"] = self.walk(kind, space, depth + 1)
        elif kind not in _PRIMITIVE:
            return self._of_name(kind, space, depth)
        return found
