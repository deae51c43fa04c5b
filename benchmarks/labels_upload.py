"""Whether each subject of a large set arrives once, over kills and failures, and how long it takes.

A stand-in of Zooniverse's API (`tests.panoptes_standin`) on this machine answers 504 with and
without having done the work, drops connections, forgets answers and refuses pictures. `streaks
labels upload` is killed several times, each time after a share of the set was created.

    streaks labels export NIGHT -o SET
    python -m benchmarks.labels_upload SET --kills 5
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from streaks.labelling.upload_set import read_set
from tests.panoptes_standin import PASSWORD, PROJECT, USERNAME, Standin, running_standin

__all__ = ["main", "measure"]

_COMMAND = "from streaks.cli import main; main()"


def measure(folder: Path, kills: int, failing: float, settle_s: float) -> dict[str, Any]:
    """Upload a set with kills in between.

    Parameters
    ----------
    folder
        Of a set; it gets a ledger.
    kills
        How often the upload is killed.
    failing
        Share of requests that fail, in each of four ways a quarter.
    settle_s
        As `streaks labels upload --settle`.

    Returns
    -------
    dict
        What arrived, and seconds.
    """
    n = len(read_set(folder))
    share = failing / 4
    standin = Standin(
        undone_504=share, done_504=share, dropped=share, forgotten=share, bad_pictures=share,
        expired=share, most_subjects=10 * n,
    )  # fmt: skip
    with running_standin(standin):
        environment = {
            **os.environ, "PANOPTES_ENDPOINT": standin.address, "PANOPTES_USERNAME": USERNAME,
            "PANOPTES_PASSWORD": PASSWORD,
        }  # fmt: skip
        command = [
            sys.executable, "-c", _COMMAND, "labels", "upload", str(folder), "--project",
            str(PROJECT), "--settle", str(settle_s), "--pause", "0.1", "--json",
        ]  # fmt: skip
        began = time.monotonic()
        for turn in range(kills):
            wanted = n * (turn + 1) // (kills + 1)
            run = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
            while run.poll() is None and len(standin.subjects) < wanted:
                time.sleep(0.01)
            run.send_signal(signal.SIGKILL)
            run.wait()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        wall = time.monotonic() - began
        members = [one for held in standin.members.values() for one in held]
        keys = [standin.subjects[one]["metadata"]["#streaks_key"] for one in members]
        whole = read_set(folder)
        by_key = dict(zip(keys, members, strict=True))
        right = sum(
            standin.pictures_of(by_key[key]) == [(folder / name).read_bytes() for name in files]
            for key, files in zip(whole.keys, whole.pictures, strict=True)
            if key in by_key
        )
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return {
            "subjects": n,
            "kills": kills,
            "created_by_the_service": len(standin.subjects),
            "in_the_set": len(members),
            "different_ones": len(set(keys)),
            "with_the_right_pictures": right,
            "failures": dict(standin.failures),
            "requests": sum(standin.asked.values()),
            "wall_s": round(wall, 1),
            "cpu_s": round(used.ru_utime + used.ru_stime, 1),
            "answer": json.loads(done.stdout),
        }


def main() -> None:
    """Upload a copy of a set, print the figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("set", type=Path, help="folder of `streaks labels export`")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--failing", type=float, default=0.08, help="share of requests")
    parser.add_argument("--settle", type=float, default=2.0, help="s")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "set"
        shutil.copytree(chosen.set, folder, ignore=shutil.ignore_patterns("upload.sqlite*"))
        print(json.dumps(measure(folder, chosen.kills, chosen.failing, chosen.settle), indent=1))


if __name__ == "__main__":
    main()
