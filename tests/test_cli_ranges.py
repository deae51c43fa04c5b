"""Options out of their range are refused with the range, before any work."""

from __future__ import annotations

from pathlib import Path

import pytest
from astropy.io import fits

from streaks.cli import main
from tests.frame_files import noise_image

OPTIONS = ("--psf-fwhm", "--gain", "--exposure", "--threshold")
VALUES = ("nan", "inf", "-inf", "-1", "0", "1e300")


@pytest.mark.parametrize(
    ("option", "value"),
    [*((option, value) for option in OPTIONS for value in VALUES),
     *(("--zero-point", value) for value in ("nan", "inf", "1e300", "-1000"))],
)  # fmt: skip
def test_detect_refuses_numbers_out_of_range(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    fits.PrimaryHDU(noise_image((96, 97))).writeto(tmp_path / "x.fits")
    table = tmp_path / "t.csv"
    words = ["detect", str(tmp_path / "x.fits"), "-o", str(table), "--no-classify"]
    assert main([*words, f"{option}={value}"]) == 2
    said = capsys.readouterr().err
    assert "it must be" in said
    assert "unexpected" not in said
    assert not table.exists()
