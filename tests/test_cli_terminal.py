"""What files say never reaches a terminal raw."""

from __future__ import annotations

import io
import logging
import os
import sys
from pathlib import Path

import pytest
from astropy.io import fits

from streaks.cli import main
from streaks.cli.terminal import plain_streams, raw, shown
from tests.frame_files import noise_image


@pytest.mark.parametrize(
    ("text", "expected"),
    [("plain, ünï ° 星\n\tx", "plain, ünï ° 星\n\tx"), ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
     ("a\rb", "a\\x0db"), ("\x9b31m", "\\x9b31m"), ("\u202egnp.exe", "\\u202egnp.exe"),
     ("bad\udcff", "bad\\xff"), ("\u2028", "\\u2028")],
)  # fmt: skip
def test_control_characters_are_shown_as_escapes(text: str, expected: str) -> None:
    assert shown(text) == expected


def test_streams_are_plain_within_and_themselves_again_after(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = sys.stdout, sys.stderr
    with plain_streams(), plain_streams():
        sys.stdout.write("a\x1b[2J\n")
        sys.stderr.writelines(["b\x1b", "c\n"])
        raw(sys.stdout).write("\x1b[1mours\n")
    assert (sys.stdout, sys.stderr) == before
    said = capsys.readouterr()
    assert said.out == "a\\x1b[2J\n\x1b[1mours\n"
    assert said.err == "b\\x1bc\n"


def test_a_stream_without_utf8_is_written_too() -> None:
    held = io.BytesIO()
    outer = sys.stdout
    sys.stdout = io.TextIOWrapper(held, encoding="ascii", errors="backslashreplace")
    try:
        with plain_streams():
            sys.stdout.write("\x1bü\udcff\n")
            sys.stdout.flush()
        assert held.getvalue() == b"\\x1b\\xfc\\xff\n"
    finally:
        sys.stdout = outer


NAME = "a\x1b]0;owned\x07\n\u202e.fits"


def test_a_files_name_reaches_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fits.PrimaryHDU(noise_image((96, 97))).writeto(tmp_path / NAME)
    bad = os.fsencode(tmp_path) + b"/\xff\x1b[31m.fits"
    Path(os.fsdecode(bad)).write_bytes(b"no image")
    assert main(["detect", str(tmp_path), "-o", str(tmp_path / "t.csv"), "--no-classify"]) == 1
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err
    assert "\u202e" not in said.out + said.err
    assert "\\xff\\x1b[31m.fits is not a FITS file" in said.err


def test_a_headers_words_reach_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fits.PrimaryHDU(noise_image((96, 97))).writeto(tmp_path / "x.fits")
    content = (tmp_path / "x.fits").read_bytes()
    card = b"NAXIS1  = \x1b[2J".ljust(80)
    at = content.index(b"NAXIS1")
    (tmp_path / "x.fits").write_bytes(content[:at] + card + content[at + 80 :])
    assert main(["detect", str(tmp_path / "x.fits"), "-o", str(tmp_path / "t.csv")]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_warnings_in_the_log_are_shown_plain(capsys: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("streaks.test")
    with plain_streams():
        handler = logging.StreamHandler(sys.stderr)
        log.addHandler(handler)
        log.warning("orbit of %s", "\x1b[8mnobody")
        log.removeHandler(handler)
    assert capsys.readouterr().err == "orbit of \\x1b[8mnobody\n"
