"""From key to paint: how long the page of a night of 10,000 candidates lets a person wait.

A night's folder is repeated until it has so many candidates. `streaks vet` serves it, a real
browser (Playwright with the system's Chromium, without a window) opens it, and keys are pressed by
the clock. The browser itself measures: from the key's own time stamp to the first moment after the
frame in which the next candidate's picture was painted.

    streaks demo -o demo-night
    python -m benchmarks.vetting_speed demo-night/night --candidates 10000 --keys 300

The picture of the documentation is made by the same browser:

    python -m benchmarks.vetting_speed demo-night/night --screenshot docs/vetting.png
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable, vstack

from streaks.cutouts import Cutouts
from streaks.night_folder import NightFolder, read_night
from streaks.night_folder.frame_results import save_cutouts
from streaks.reporting import write_table
from streaks.vetting import open_journal

__all__ = ["main", "repeated_night"]

_COMMAND = "from streaks.cli import main; main()"
#: Runs in the page before anything of its own.
_STOPWATCH = """
window.__times = [];
let pressed = null;
addEventListener("keydown", (event) => { pressed = event.timeStamp; }, { capture: true });
document.addEventListener("DOMContentLoaded", () => {
  new MutationObserver(() => {
    if (pressed === null || !document.body.dataset.shown) return;
    const since = pressed;
    pressed = null;
    requestAnimationFrame(() => {
      const channel = new MessageChannel();
      channel.port1.onmessage = () => window.__times.push(performance.now() - since);
      channel.port2.postMessage(null);
    });
  }).observe(document.body, { attributes: true, attributeFilter: ["data-shown"] });
});
"""


def repeated_night(source: Path, out: Path, n: int) -> None:
    """A night's folder with so many candidates, each frame of another under many names.

    Parameters
    ----------
    source
        Folder of a finished night.
    out
        Made.
    n
        Candidates.
    """
    night = read_night(source)
    folder = NightFolder(out)
    out.mkdir(parents=True)
    shutil.copy(night.folder.settings, folder.settings)
    streaks, frames = [], []
    images = list(dict.fromkeys(str(image) for image in night.streaks["image"]))
    turn = found = 0
    while found < n:
        for image in images:
            if found >= n:
                break
            rows = night.streaks[np.asarray(night.streaks["image"]).astype(str) == image][
                : n - found
            ]
            frame = night.frames[np.asarray(night.frames["image"]).astype(str) == image]
            streaks.append(_renamed(rows, turn))
            frames.append(_renamed(frame, turn))
            cutouts = night.cutouts(image).select(np.arange(len(rows)))
            named = Cutouts(
                cutouts.difference, cutouts.mask, tuple(f"{name}_{turn}" for name in cutouts.names),
                science=cutouts.science, reference=cutouts.reference, fwhm_px=cutouts.fwhm_px,
            )  # fmt: skip
            save_cutouts(folder.cutouts(f"{image}_{turn}"), named)
            found += len(rows)
        turn += 1
    table = vstack(streaks, metadata_conflicts="silent")
    # Else the copies of one stand side by side, and the order never leaves a few frames.
    rng = np.random.default_rng(1)
    table["p_asteroid"] = np.clip(table["p_asteroid"] + rng.normal(0, 0.05, len(table)), 0, 1)
    write_table(table, folder.streaks)
    write_table(vstack(frames, metadata_conflicts="silent"), folder.frames)
    write_table(night.tracklets[:0], folder.tracklets)


def _of_image(table: QTable, image: str) -> QTable:
    return table[np.asarray(table["image"]).astype(str) == image]


def _renamed(rows: QTable, turn: int) -> QTable:
    named = rows.copy()
    for name in ("streak_id", "image"):
        if name in named.colnames:
            named[name] = [f"{value}_{turn}" for value in named[name]]
    if "tracklet" in named.colnames:
        named["tracklet"] = [f"{value}-{turn}" if str(value) else "" for value in named["tracklet"]]
    named.meta = {}
    return named


@contextmanager
def _served(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    words = [sys.executable, "-c", _COMMAND, "vet", str(folder), "--json", "--port", "0"]
    run = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert run.stdout is not None
        yield run, json.loads(run.stdout.readline())["address"]
    finally:
        run.kill()
        run.wait()


def screenshot(folder: Path, out: Path) -> None:
    """A picture of the page, after a few keys.

    Parameters
    ----------
    folder
        Of the night; its copy is judged.
    out
        PNG.
    """
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as scratch:
        unjudged = shutil.ignore_patterns("judgements.sqlite*")
        copy = shutil.copytree(folder, Path(scratch) / folder.name, ignore=unjudged)
        with _served(copy) as (_, address), sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            page = browser.new_page(viewport={"width": 1360, "height": 720})
            page.goto(address)
            page.fill("#person", "Vera")
            page.keyboard.press("Enter")
            for key in ("1", "1", "1", "1", "1", "z"):
                page.wait_for_selector('body[data-shown]:not([data-shown=""])')
                page.keyboard.press(key)
            page.wait_for_timeout(1500)
            page.screenshot(path=str(out))
            browser.close()


def measure(folder: Path, keys: int, pause_s: float) -> dict[str, Any]:
    """Press keys on a night's page, and say how long each took and what was kept.

    Parameters
    ----------
    folder
        Of the night.
    keys
        How many.
    pause_s
        From one to the next.

    Returns
    -------
    dict
    """
    from playwright.sync_api import sync_playwright

    began = time.monotonic()
    with _served(folder) as (run, address), sync_playwright() as playwright:
        told: dict[str, Any] = {"server_ready_s": round(time.monotonic() - began, 2)}
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.add_init_script(_STOPWATCH)
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda m: m.type == "error" and complaints.append(m.text))
        page.goto(address)
        page.fill("#person", "clock")
        began = time.monotonic()
        page.keyboard.press("Enter")
        shown = 'body[data-shown]:not([data-shown=""])'
        page.wait_for_selector(shown)
        told["first_picture_s"] = round(time.monotonic() - began, 3)
        # A person looks at the first one for a moment.
        page.wait_for_timeout(1500)
        page.evaluate("window.__times.length = 0")
        expected: dict[str, str] = {}
        labels = ("asteroid", "satellite", "masked_star", "ghost")
        start = time.monotonic()
        for i in range(keys):
            time.sleep(max(0.0, start + pause_s * i - time.monotonic()))
            expected[str(page.get_attribute("body", "data-shown"))] = labels[i % 4]
            page.keyboard.press(str(1 + i % 4))
        told["pressing_s"] = round(time.monotonic() - start, 1)
        page.wait_for_selector('body[data-waiting="0"]')
        page.wait_for_timeout(300)
        times = np.array(page.evaluate("window.__times"), dtype=float)
        told |= _summary(times) | {"complaints": complaints, "browser": browser.version}
        page.keyboard.press("/")
        began = time.monotonic()
        page.select_option("#filters [name=sort]", "-snr")
        page.wait_for_selector(shown)
        told["sorted_anew_s"] = round(time.monotonic() - began, 3)
        told["server_rss_mb"] = _rss_mb(run.pid)
        browser.close()
    return told | {"keys": keys, "pause_s": pause_s} | _kept(folder, expected)


def _summary(times_ms: np.ndarray) -> dict[str, Any]:
    return {
        "painted": len(times_ms),
        "key_to_paint_ms": {
            f"p{q}": round(float(np.percentile(times_ms, q)), 1) for q in (50, 90, 95, 99, 100)
        },
        "within_50_ms_percent": round(100 * float((times_ms <= 50).mean()), 1),
    }


def _rss_mb(pid: int) -> int | None:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    line = next((line for line in status.splitlines() if line.startswith("VmRSS")), "")
    return int(line.split()[1]) // 1024 if line else None


def _kept(folder: Path, expected: dict[str, str]) -> dict[str, Any]:
    with open_journal(NightFolder(folder).judgements) as journal:
        kept = {one.streak_id: one.value for one in journal.after() if one.person == "clock"}
    return {
        "distinct_candidates": len(expected),
        "kept": len(kept),
        "lost_or_misplaced": sum(kept.get(name) != label for name, label in expected.items())
        + len(kept.keys() - expected.keys()),
    }


def main() -> None:
    """Build the night, press the keys, print the figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("night", type=Path, help="folder of a finished night")
    parser.add_argument("--candidates", type=int, default=10_000)
    parser.add_argument("--keys", type=int, default=300)
    parser.add_argument("--pause", type=float, default=0.3, help="s from key to key")
    parser.add_argument("--work", type=Path, help="where the repeated night goes and stays")
    parser.add_argument("--screenshot", type=Path, help="make this PNG, and measure nothing")
    chosen = parser.parse_args()
    if chosen.screenshot is not None:
        screenshot(chosen.night, chosen.screenshot)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = chosen.work or Path(scratch) / "night"
        if not NightFolder(folder).streaks.is_file():
            repeated_night(chosen.night, folder, chosen.candidates)
        # Only what these keys say is counted.
        for end in ("", "-wal", "-shm"):
            journal = NightFolder(folder).judgements
            journal.with_name(journal.name + end).unlink(missing_ok=True)
        told = measure(folder, chosen.keys, chosen.pause)
        told["candidates"] = len(read_night(folder).streaks)
    print(json.dumps(told | {"machine": platform.machine(), "cpus": os.cpu_count()}, indent=1))


if __name__ == "__main__":
    main()
