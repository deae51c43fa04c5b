"""Lists of other surveys: columns recognised, places and times read."""

import numpy as np
import pytest
from astropy.table import QTable

from streaks.errors import ConfigError, ReadError
from streaks.readers.target_lists import parse_mapping, read_targets


def written(tmp_path, text, name="list.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_columns_are_known_whatever_their_case(tmp_path):
    path = written(
        tmp_path, "Designation,RAJ2000,DEJ2000,Obs_MJD,Vmag\n2018 AA1,12.5,-3.25,58000.5,18.2\n"
    )
    read = read_targets(path)
    assert read["name"][0] == "2018 AA1"
    assert (read["ra"][0], read["dec"][0], read["mjd"][0], read["mag"][0]) == (
        12.5,
        -3.25,
        58000.5,
        18.2,
    )


def test_a_list_of_tns(tmp_path):
    path = written(
        tmp_path,
        '"ID","Name","RA","DEC","Discovery Mag/Flux","Discovery Date (UT)"\n'
        '"7","AT 2018abc","10:00:00.00","-20:30:00.0","18.5","2018-04-09 12:00:00"\n',
    )
    read = read_targets(path)
    assert read["ra"][0] == pytest.approx(150.0)
    assert read["dec"][0] == pytest.approx(-20.5)
    assert read["mjd"][0] == pytest.approx(58217.5)
    assert read["entry"][0] == "7"


def test_ades(tmp_path):
    path = written(
        tmp_path,
        "# version=2017\n! line Streaks\npermID |trkSub|obsTime|ra|dec|mag\n"
        " |T001|2018-04-09T12:00:00Z|150.0|-20.5|18.5\n"
        "433|    |2018-04-09T18:00:00Z|151.0|-21.5|\n",
        "obs.psv",
    )
    read = read_targets(path)
    assert list(read["name"]) == ["T001", "433"]
    assert list(read["mjd"]) == pytest.approx([58217.5, 58217.75])
    assert np.isnan(read["mag"][1])


def test_80_columns_of_the_mpc(tmp_path):
    line = "     K18A01A  C2018 04 09.50000 10 00 00.00 -20 30 00.0          18.5 R      I41"
    assert len(line) == 80
    read = read_targets(written(tmp_path, line + "\n", "obs.txt"))
    assert read["name"][0] == "K18A01A"
    assert read["mjd"][0] == pytest.approx(58217.5)
    assert read["ra"][0] == pytest.approx(150.0)
    assert read["dec"][0] == pytest.approx(-20.5)
    assert read["mag"][0] == 18.5


def test_units_of_a_table_are_kept(tmp_path):
    import astropy.units as u

    table = QTable(
        {"ra": [0.1] * u.rad, "dec": [60.0] * u.arcmin, "rate": [60.0] * u.arcsec / u.min}
    )
    table.write(tmp_path / "t.ecsv", format="ascii.ecsv")
    read = read_targets(tmp_path / "t.ecsv")
    assert read["ra"][0] == pytest.approx(np.degrees(0.1))
    assert read["dec"][0] == pytest.approx(1.0)
    assert read["rate"][0] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [("rate_arcsec_min", 30, 0.5), ("rate_arcsec_h", 3600, 1.0), ("rate_deg_day", 24, 1.0)],
)
def test_rates_in_other_units(tmp_path, column, value, expected):
    read = read_targets(written(tmp_path, f"ra,dec,{column}\n1,2,{value}\n"))
    assert read["rate"][0] == pytest.approx(expected)


def test_columns_that_are_not_known_can_be_named(tmp_path):
    path = written(tmp_path, "alpha_obj,delta_obj,when\n1.5,2.5,2018-04-09T12:00:00\n")
    with pytest.raises(ReadError, match="tells no places"):
        read_targets(path)
    read = read_targets(path, parse_mapping("ra=alpha_obj, dec=delta_obj,time=when"))
    assert (read["ra"][0], read["dec"][0]) == (1.5, 2.5)
    assert read["mjd"][0] == pytest.approx(58217.5)


def test_a_mapping_that_names_nothing_says_so(tmp_path):
    path = written(tmp_path, "ra,dec\n1,2\n")
    with pytest.raises(ConfigError, match=r"which .* does not have"):
        read_targets(path, {"ra": "missing"})
    with pytest.raises(ConfigError, match="OURS=THEIRS"):
        parse_mapping("ra:RA")
    with pytest.raises(ConfigError, match="OURS=THEIRS"):
        parse_mapping("colour=b_v")
    assert parse_mapping("") == {}


def test_entries_are_unique(tmp_path):
    read = read_targets(written(tmp_path, "name,ra,dec\na,1,2\na,1,2\n,1,2\n"))
    assert list(read["entry"]) == ["a", "a #2", "row 3"]


def test_rows_of_other_classes_are_left_out(tmp_path, caplog):
    read = read_targets(written(tmp_path, "name,ra,dec,label\na,1,2,asteroid\nb,1,2,satellite\n"))
    assert list(read["name"]) == ["a"]
    assert "1 rows of other classes" in caplog.text


def test_an_image_is_known_by_its_name_alone(tmp_path):
    read = read_targets(written(tmp_path, "image,x,y\n/data/a_b.fits.fz,10,20\n"))
    assert read["image"][0] == "a_b"


def test_what_is_no_list_is_refused(tmp_path):
    with pytest.raises(ReadError, match="no list that is known"):
        read_targets(written(tmp_path, "once upon a time\n", "tale.txt"))


def test_ades_rows_of_another_length_are_refused(tmp_path):
    with pytest.raises(ReadError, match="2 cells under 3 columns"):
        read_targets(written(tmp_path, "a|ra|dec\n1|2\n", "obs.psv"))
