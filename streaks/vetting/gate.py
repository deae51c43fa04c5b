"""Who is let in: the page's own address only, and with a token where others can reach it.

A page of another site can make a browser send requests here. Such a request tells where it comes
from (``Origin``, ``Sec-Fetch-Site``), or, where a foreign name was made to point at this machine,
whom it believes to talk to (``Host``).
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie

from streaks.errors import ConfigError

__all__ = ["Gate", "Refusal", "is_loopback", "make_gate"]

_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?")
#: Letters of a token that a person chose.
_SHORTEST = 8


@dataclass(frozen=True)
class Refusal:
    """Why a request is not served.

    Parameters
    ----------
    status
        Of HTTP.
    reason
        In words, for the person.
    """

    status: int
    reason: str


@dataclass(frozen=True)
class Gate:
    """The rules.

    Parameters
    ----------
    names
        Host names under which the page is asked for, lower case.
    any_address
        Whether any bare IP address will do: no foreign name can be made to point at one.
    token
        That a request must bear; empty for none.
    cookie
        Name of the cookie that bears it.
    """

    names: frozenset[str]
    any_address: bool
    token: str
    cookie: str = "streaks_vet"

    def refusal(self, method: str, path: str, headers: Mapping[str, list[str]]) -> Refusal | None:
        """Why a request is not served; None for one that is.

        Parameters
        ----------
        method, path
            Of the request.
        headers
            Values by name, lower case.

        Returns
        -------
        Refusal or None
        """
        host = headers.get("host", [])
        if len(host) != 1 or not self._is_ours(host[0]):
            return Refusal(
                421, "This page is not served under that name. Open the address that was printed."
            )
        if _is_foreign(method, path, host[0], headers):
            return Refusal(403, "Requests of other sites are not served.")
        if self.token and not self._has_token(headers):
            return Refusal(
                401, "This page needs its token: open the whole address that was printed."
            )
        return None

    def is_token(self, given: str) -> bool:
        """Whether this is the token; takes as long for any guess.

        Parameters
        ----------
        given
            What came.

        Returns
        -------
        bool
        """
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.token.encode())

    def _is_ours(self, host: str) -> bool:
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = (match[1] or match[2]).lower().rstrip(".")
        return name in self.names or (self.any_address and _is_address(name))

    def _has_token(self, headers: Mapping[str, list[str]]) -> bool:
        for value in headers.get("authorization", []):
            kind, _, given = value.partition(" ")
            if kind.lower() == "bearer" and self.is_token(given.strip()):
                return True
        return any(self.is_token(given) for given in self._cookies(headers))

    def _cookies(self, headers: Mapping[str, list[str]]) -> list[str]:
        found = []
        for value in headers.get("cookie", []):
            try:
                jar = SimpleCookie(value)
            except CookieError:
                continue
            if self.cookie in jar:
                found.append(jar[self.cookie].value)
        return found


def make_gate(
    host: str, *, token: str = "", names: tuple[str, ...] = (), cookie: str = "streaks_vet"
) -> Gate:
    """The rules for a server that listens at an address.

    Parameters
    ----------
    host
        Where it listens.
    token
        Chosen by a person; one is made where others can reach the server and none was chosen.
    names
        Further host names under which it is asked for.
    cookie
        Name of the cookie that bears the token.

    Returns
    -------
    Gate

    Raises
    ------
    ConfigError
        For a token that is short, or holds what no address can.
    """
    if token and not re.fullmatch(rf"[A-Za-z0-9_.~-]{{{_SHORTEST},200}}", token):
        raise ConfigError(
            f"a token has {_SHORTEST} to 200 letters, digits and _ . ~ -; leave it out and one "
            "is made"
        )
    wanted = {name.lower().rstrip(".") for name in names} | _LOCAL
    if is_loopback(host):
        return Gate(frozenset(wanted), False, token, cookie)
    wanted |= {host.lower(), socket.gethostname().lower(), socket.getfqdn().lower()}
    return Gate(frozenset(wanted), True, token or secrets.token_urlsafe(24), cookie)


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine only.

    Parameters
    ----------
    host
        Name or address.

    Returns
    -------
    bool
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_foreign(method: str, path: str, host: str, headers: Mapping[str, list[str]]) -> bool:
    """Whether a page of another site made the browser ask.

    A link to the page itself that a person followed is not foreign: nothing of the answer goes
    back to where the link stood.
    """
    origins = headers.get("origin", [])
    ours = {f"http://{host}".lower(), f"https://{host}".lower()}
    if any(origin.lower() not in ours for origin in origins):
        return True
    site = headers.get("sec-fetch-site", ["none"])
    if all(value in ("same-origin", "none") for value in site):
        return False
    followed = (
        headers.get("sec-fetch-mode") == ["navigate"]
        and headers.get("sec-fetch-dest") == ["document"]
        and method == "GET"
    )
    return not (followed and path == "/" and not origins)
