"""What the page's server answers, asked as a browser asks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra `web` is not installed: no page to ask")
pytest.importorskip("uvicorn", reason="the extra `web` is not installed: no page to ask")
pytest.importorskip("httpx", reason="httpx is not installed: nothing to ask the page with")

from fastapi.testclient import TestClient

from streaks.night_folder import NightFolder, read_night
from streaks.plotting import decode_picture
from streaks.vetting import build_app, make_gate, open_journal, read_candidates, standing_of
from tests.made_nights import make_night

#: What it proves does not change in a wheel.
pytestmark = pytest.mark.tree

HOST = "http://127.0.0.1:8377"
COMMAND = "from streaks.cli import main; main()"
FIRST, SECOND = "ztf_night_c01_0000", "ztf_night_c01_0001"


@contextmanager
def page_of(folder: Path, host: str = "127.0.0.1", token: str = "") -> Iterator[TestClient]:
    with open_journal(NightFolder(folder).judgements) as journal:
        gate = make_gate(host, token=token)
        app = build_app(read_candidates(read_night(folder)), journal, gate)
        yield TestClient(app, base_url=HOST, follow_redirects=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_night(tmp_path / "night")


@pytest.fixture
def page(folder: Path) -> Iterator[TestClient]:
    with page_of(folder) as client:
        yield client


def item(number: int, person: str, streak: str, value: str, kind: str = "label") -> dict[str, str]:
    return {
        "id": f"judgement{number:04d}", "person": person, "streak_id": streak, "kind": kind,
        "value": value, "made": "2024-03-01T00:00:00Z",
    }  # fmt: skip


def post(page: TestClient, *items: Any, **more: Any) -> Any:
    return page.post("/api/judgements", json={"judgements": list(items)}, **more)


# ---- page and policy


def test_the_page_loads_nothing_from_elsewhere(page: TestClient) -> None:
    told = page.get("/")
    assert told.status_code == 200
    policy = dict(
        part.strip().split(" ", 1) for part in told.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in told.headers["content-security-policy"]
    assert "http://" not in told.text
    assert "https://" not in told.text
    assert "style=" not in told.text
    assert "<script>" not in told.text


@pytest.mark.parametrize(
    "address", ["/", "/api/night", "/nowhere", "/api/picture/0", "/api/picture/999"]
)
def test_every_answer_bears_the_policy(page: TestClient, address: str) -> None:
    headers = page.get(address).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["referrer-policy"] == "no-referrer"


def test_every_file_that_the_page_names_is_there(page: TestClient) -> None:
    for name, kind in {"vet.js": "javascript", "list.js": "javascript", "vet.css": "css"}.items():
        told = page.get(f"/static/{name}")
        assert told.status_code == 200
        assert kind in told.headers["content-type"]
        held = page.get(f"/static/{name}", headers={"if-none-match": told.headers["etag"]})
        assert (held.status_code, held.content) == (304, b"")


@pytest.mark.parametrize(
    "address",
    ["/static/../server.py", "/static/..%2fserver.py", "/static/%2fetc%2fpasswd", "/docs",
     "/openapi.json", "/static/"],
)  # fmt: skip
def test_nothing_else_is_given_out(page: TestClient, address: str) -> None:
    assert page.get(address).status_code == 404


def test_hostile_names_are_text_in_the_page(tmp_path: Path) -> None:
    night = make_night(tmp_path / "<img src=x onerror=alert(1)>")
    with page_of(night) as page:
        text = page.get("/").text
        assert "<img" not in text
        assert "&lt;img src=x onerror=alert(1)&gt;" in text


def test_hostile_names_are_json_text(tmp_path: Path) -> None:
    names = [f"</script><script>alert({i})</script>" for i in range(4)]
    with page_of(make_night(tmp_path / "n", n_frames=1, names=names)) as page:
        told = page.get("/api/details?rows=0")
        assert told.headers["content-type"] == "application/json"
        assert told.json()[0]["streak_id"] == names[0]
        assert post(page, item(1, "<b>V</b>", names[0], "ghost")).json()["kept"]
        mine = page.get("/api/judgements", params={"person": "<b>V</b>"}).json()["mine"]
        assert mine[0]["streak_id"] == names[0]


# ---- who is let in


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
    ],
)
def test_foreign_requests_are_refused_and_leave_nothing(
    page: TestClient, headers: dict[str, str], status: int
) -> None:
    assert post(page, item(1, "V", FIRST, "ghost"), headers=headers).status_code == status
    for address in ("/api/night", "/api/candidates", "/api/picture/0", "/static/vet.js"):
        assert page.get(address, headers=headers).status_code == status
    assert page.get("/api/judgements?person=V").json()["mine"] == []


def test_a_form_of_another_kind_is_refused(page: TestClient) -> None:
    """What a foreign form can send without asking first: text, and not JSON."""
    body = json.dumps({"judgements": [item(1, "V", FIRST, "ghost")]})
    told = page.post("/api/judgements", content=body, headers={"content-type": "text/plain"})
    assert told.status_code == 415


def test_other_methods_are_refused(page: TestClient) -> None:
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        assert page.request(method, "/api/judgements").status_code == 405


def test_a_token_is_asked_for_and_kept_in_a_cookie(folder: Path) -> None:
    with page_of(folder, "0.0.0.0", "t" * 24) as page:
        assert page.get("/").status_code == 401
        assert page.get("/?token=wrong").status_code == 401
        assert page.get("/api/night").status_code == 401
        assert post(page, item(1, "V", FIRST, "ghost")).status_code == 401
        told = page.get(f"/?token={'t' * 24}")
        assert (told.status_code, told.headers["location"]) == (303, "/")
        assert "HttpOnly" in told.headers["set-cookie"]
        assert "SameSite=Lax" in told.headers["set-cookie"]
        assert page.get("/").status_code == 200
        assert post(page, item(1, "V", FIRST, "ghost")).json()["kept"] == ["judgement0001"]


# ---- candidates and pictures


def test_the_list_comes_in_parts(page: TestClient) -> None:
    parts = [page.get(f"/api/candidates?offset={o}&limit=5").json() for o in (0, 5, 10)]
    rows = [row for part in parts for row in part["columns"]["row"]]
    assert rows == list(range(12))
    assert [part["n"] for part in parts] == [12, 12, 12]


@pytest.mark.parametrize(
    "address",
    [
        "/api/candidates?offset=-1", "/api/candidates?offset=13", "/api/candidates?limit=0",
        "/api/candidates?limit=99999", "/api/details?rows=", "/api/details?rows=1,x",
        "/api/details?rows=99", "/api/details?rows=-1", "/api/picture/12", "/api/picture/-1",
        "/api/picture/0?how=odd", "/api/others/99", "/api/other/0/99", "/api/other/0/-1",
        "/api/details?rows=" + ",".join("0" * 60), "/api/details?rows=" + "1" * 5000,
    ],
)  # fmt: skip
def test_what_is_not_there_is_said_in_words(page: TestClient, address: str) -> None:
    told = page.get(address)
    assert told.status_code == 400
    assert len(told.json()["error"]) > 10


def test_pictures_come_once_and_then_by_their_tag(page: TestClient) -> None:
    told = page.get("/api/picture/0?how=normal")
    assert told.headers["content-type"] == "image/png"
    assert decode_picture(told.content).shape[1] == 96
    held = page.get("/api/picture/0", headers={"if-none-match": told.headers["etag"]})
    assert (held.status_code, held.content) == (304, b"")
    other = page.get("/api/picture/0?how=faint", headers={"if-none-match": told.headers["etag"]})
    assert other.status_code == 200


def test_a_picture_of_another_state_of_the_night_is_refused(page: TestClient) -> None:
    night = page.get("/api/night").json()["night"]
    assert page.get(f"/api/picture/0?of={night}").status_code == 200
    assert page.get("/api/picture/0?of=another").status_code == 409


def test_a_missing_picture_is_said(tmp_path: Path) -> None:
    with page_of(make_night(tmp_path / "n", cutouts=False)) as page:
        told = page.get("/api/picture/0")
        assert told.status_code == 404
        assert "run the night again" in told.json()["error"]


def test_other_exposures_are_listed_and_shown(page: TestClient) -> None:
    others = page.get("/api/others/0").json()
    assert [one["minutes"] for one in others] == [3.0, 6.0]
    told = page.get(f"/api/other/0/{others[0]['frame']}")
    assert told.headers["content-type"] == "image/png"


def test_a_night_of_no_streaks_has_a_page(tmp_path: Path) -> None:
    with page_of(make_night(tmp_path / "n", n_frames=1, n_each=0)) as page:
        assert page.get("/").status_code == 200
        assert page.get("/api/candidates").json()["n"] == 0


# ---- judgements


def test_judgements_are_kept_and_come_back(page: TestClient) -> None:
    told = post(page, item(1, "V", FIRST, "ghost"), item(2, "V", SECOND, "asteroid"))
    assert told.json() == {"kept": ["judgement0001", "judgement0002"], "refused": {}}
    changes = page.get("/api/judgements?person=V").json()
    assert [one["value"] for one in changes["mine"]] == ["ghost", "asteroid"]
    later = page.get(f"/api/judgements?person=V&after={changes['seq']}").json()
    assert (later["mine"], later["seq"]) == ([], changes["seq"])


def test_a_judgement_is_of_the_place_that_was_shown(page: TestClient, folder: Path) -> None:
    """By its name it would be the first; at its place lies the second."""
    place = {"image": "ztf_night_c01", "x": 150.0, "y": 230.0}
    post(page, {**item(1, "V", FIRST, "ghost"), **place})
    post(page, item(2, "V", "ztf_night_c02_0000", "ghost"))
    mine = page.get("/api/judgements?person=V").json()["mine"]
    assert [one["streak_id"] for one in mine] == [SECOND, "ztf_night_c02_0000"]
    with open_journal(NightFolder(folder).judgements) as journal:
        assert list(standing_of(journal.after(), read_night(folder)).labels["V"]) == [
            SECOND, "ztf_night_c02_0000",
        ]  # fmt: skip


def test_one_that_is_sent_again_is_kept_once(page: TestClient) -> None:
    for _ in range(3):
        assert post(page, item(1, "V", FIRST, "ghost")).json()["kept"] == ["judgement0001"]
    assert len(page.get("/api/judgements?person=V").json()["mine"]) == 1


def test_people_see_that_others_judged_and_not_what(page: TestClient) -> None:
    post(page, item(1, "V", FIRST, "ghost"), item(2, "W", SECOND, "asteroid"))
    told = page.get("/api/judgements?person=W").json()
    assert [one["streak_id"] for one in told["mine"]] == [SECOND]
    assert told["others"] == [["V", FIRST]]
    assert "ghost" not in json.dumps(told)


def test_undo_takes_the_label_back(page: TestClient, folder: Path) -> None:
    post(page, item(1, "V", FIRST, "ghost"), item(2, "V", FIRST, "judgement0001", "undo"))
    with open_journal(NightFolder(folder).judgements) as journal:
        assert standing_of(journal.after(), read_night(folder)).labels == {}


def test_what_is_unsound_is_refused_and_the_rest_kept(page: TestClient) -> None:
    told = post(
        page, item(1, "V", FIRST, "planet"), item(2, "V", "nowhere", "ghost"),
        item(3, "V", FIRST, "ghost"), "no object", {"id": 7},
    ).json()  # fmt: skip
    assert told["kept"] == ["judgement0003"]
    assert "no class" in told["refused"]["judgement0001"]
    assert "load the page again" in told["refused"]["judgement0002"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[" * 100_000, 400),
        (b"[]", 400),
        (b'{"judgements": []}', 400),
        (b'{"judgements": "abc"}', 400),
        (b'{"judgements": ' + json.dumps([{}] * 201).encode() + b"}", 400),
        (b" " * ((1 << 20) + 1), 413),
        (b"\xff\xfe\x00", 400),
    ],
)
def test_what_is_no_list_of_judgements_is_refused(
    page: TestClient, body: bytes, status: int
) -> None:
    told = page.post("/api/judgements", content=body, headers={"content-type": "application/json"})
    assert told.status_code == status
    assert told.json()["error"]


def test_nothing_comes_after_a_number_beyond_all(page: TestClient) -> None:
    told = page.get(f"/api/judgements?person=V&after={10**30}")
    assert (told.status_code, told.json()["mine"]) == (200, [])


def test_a_name_that_is_none_is_refused(page: TestClient) -> None:
    assert page.get("/api/judgements", params={"person": " "}).status_code == 400
    assert page.get("/api/judgements").status_code == 422


def test_a_journal_that_cannot_be_written_is_no_acknowledgement(
    page: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from streaks.errors import OutputError
    from streaks.vetting import Journal

    def full(self: Journal, judgements: Any) -> dict[str, str]:
        raise OutputError("the disk is full")

    monkeypatch.setattr(Journal, "record", full)
    told = post(page, item(1, "V", FIRST, "ghost"))
    assert (told.status_code, told.json()) == (503, {"error": "the disk is full"})


# ---- the process


@contextmanager
def served(folder: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command as a process of its own, and the address that it prints."""
    command = [sys.executable, "-c", COMMAND, "vet", str(folder), "--json", *words]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)
    try:
        assert run.stdout is not None
        yield run, json.loads(run.stdout.readline())["address"]
    finally:
        run.kill()
        run.wait()


def send(address: str, *items: Any) -> Any:
    request = urllib.request.Request(
        address + "api/judgements", json.dumps({"judgements": items}).encode(),
        {"content-type": "application/json"},
    )  # fmt: skip
    with urllib.request.urlopen(request, timeout=20) as told:
        return json.load(told)


def test_what_was_acknowledged_outlives_a_kill_of_the_server(folder: Path) -> None:
    acknowledged: list[str] = []
    for turn in range(2):
        with served(folder, "--port", "0") as (run, address):
            for i in range(20):
                number = 100 * turn + i
                acknowledged += send(address, item(number, "V", FIRST, "ghost"))["kept"]
            run.send_signal(signal.SIGKILL)
            run.wait()
    with open_journal(NightFolder(folder).judgements) as journal:
        assert [one.id for one in journal.after()] == acknowledged
    assert len(acknowledged) == 40


def test_the_server_stops_when_told_and_exits_well(folder: Path) -> None:
    with served(folder, "--port", "0") as (run, address):
        assert address.startswith("http://127.0.0.1:")
        send(address, item(1, "V", FIRST, "ghost"))
        run.send_signal(signal.SIGINT)
        assert run.wait(timeout=20) == 0


def test_a_server_for_others_prints_an_address_with_its_token(folder: Path) -> None:
    # Quiet or not: without it nobody could open the page.
    with served(folder, "--port", "0", "--host", "0.0.0.0", "-q") as (_, address):
        port = address.split(":")[2].split("/")[0]
        token = address.split("?token=")[1]
        assert len(token) >= 32
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/api/night", timeout=20)
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/api/night", headers={"authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(request, timeout=20) as told:
            assert json.load(told)["n"] == 12


def test_two_servers_of_one_night_share_what_is_judged(folder: Path) -> None:
    with (
        served(folder, "--port", "0") as (_, one),
        served(folder, "--port", "0") as (_, other),
    ):
        send(one, item(1, "V", FIRST, "ghost"))
        send(other, item(2, "W", SECOND, "ghost"))
        with urllib.request.urlopen(one + "api/judgements?person=V", timeout=20) as told:
            assert json.load(told)["others"] == [["W", SECOND]]
