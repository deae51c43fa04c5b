"""Conditions on named columns."""

from __future__ import annotations

import numpy as np
import pytest

from streaks.errors import ConfigError
from streaks.expressions import parse_expression

COLUMNS = {
    "p": np.array([0.1, 0.9, np.nan, 0.6]),
    "mag": np.array([18.0, 21.5, 20.0, np.nan]),
    "label": np.array(["asteroid", "ghost", "asteroid", ""]),
    "is_new": np.array([True, False, True, False]),
    "diaSource.snr": np.array([5.0, None, 7.0, 8.0], dtype=object),
}


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("p > 0.5", [1, 3]),
        ("p > 0.5 and mag < 30", [1]),
        ("p > 0.5 or label == 'asteroid'", [0, 1, 2, 3]),
        ("not (p > 0.5)", [0, 2]),
        ("0.5 < p <= 0.6", [3]),
        ("label in ('ghost', 'asteroid')", [0, 1, 2]),
        ("label not in ['asteroid']", [1, 3]),
        ("label != ''", [0, 1, 2]),
        ("is_new", [0, 2]),
        ("is_new and p < 1", [0]),
        ("isnan(p)", [2]),
        ("abs(mag - 20) < 1.6", [1, 2]),
        ("startswith(label, 'ast')", [0, 2]),
        ("contains(label, 'os')", [1]),
        ("diaSource.snr > 6", [2, 3]),
        ("-p < -0.5", [1, 3]),
        ("True", [0, 1, 2, 3]),
        ("2 * p ** 2 > 1", [1]),
    ],
)
def test_conditions_hold_where_they_should(text: str, rows: list[int]) -> None:
    found = parse_expression(text, COLUMNS).evaluate(COLUMNS, 4)
    assert found.dtype == bool
    assert np.flatnonzero(found).tolist() == rows


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("__import__('os').system('x')", "calls __import__"),
        ("p.__class__", "has a Attribute"),
        ("(lambda: 1)()", "calls"),
        ("[x for x in p]", "has a ListComp"),
        ("p if p else 1", "has a IfExp"),
        ("p > ", "is no condition"),
        ("p := 1", "is no condition"),
        ("f'{p}'", "has a JoinedStr"),
        ("p[0] > 1", "has a Subscript"),
        ("q > 1", "asks for q; there are"),
        ("abs(p, 1) > 1", "calls abs"),
        ("p is None", "has a Is"),
        ("p > 1e999999 and " * 400 + "p > 1", "letters"),
        ("not " * 60 + "is_new", "nested more than"),
        (f"p > {1 << 70}", "more than 64 bits"),
        ("p > 1j", "has a Constant"),
    ],
)
def test_what_is_no_condition_is_refused_and_nothing_is_run(text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        parse_expression(text, COLUMNS)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("label > 1", "one is a text"),
        ("p", "is a number, not a condition"),
        ("label", "is a text|no condition"),
        ("label + 1 > 2", "which is a text"),
        ("p and is_new", "p is no condition"),
        ("startswith(p, 'a')", "takes a column of texts"),
        ("packet.nothing > 1", "asks for packet.nothing"),
    ],
)
def test_values_of_the_wrong_kind_are_named(text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        parse_expression(text).evaluate(COLUMNS, 4)


def test_names_are_told_in_order() -> None:
    assert parse_expression("mag < 3 and diaSource.snr > p").names == ("mag", "diaSource.snr", "p")


def test_a_condition_of_no_rows_has_none() -> None:
    assert len(parse_expression("True").evaluate({}, 0)) == 0


def test_what_packets_tell_is_asked_before_what_is_measured() -> None:
    both = parse_expression("mag < 21 and p > 0.5 and diaSource.snr > 6")
    first, rest = both.split(["mag"])
    assert first is not None
    assert rest is not None
    assert first.names == ("mag", "diaSource.snr")
    assert rest.names == ("p",)
    together = first.evaluate(COLUMNS, 4) & rest.evaluate(COLUMNS, 4)
    np.testing.assert_array_equal(together, both.evaluate(COLUMNS, 4))
    assert parse_expression("p > 0.5 or mag < 21").split(["mag"])[0] is None
    assert parse_expression("mag < 21").split(["mag"])[1] is None
