"""Settings: ranges, names, fingerprints."""

from __future__ import annotations

import dataclasses
import math

import pytest

from streaks.config import (
    CutoutConfig,
    DetectionConfig,
    LabelConfig,
    MatchConfig,
    NoiseConfig,
    Settings,
    settings_from_mapping,
)
from streaks.errors import ConfigError


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (NoiseConfig, {"box_px": 7}, "box_px is 7; it must be at least 8"),
        (DetectionConfig, {"threshold_snr": 2.9}, "threshold is 2.9; .* between 3 and 1000"),
        (DetectionConfig, {"threshold_snr": math.nan}, "threshold is nan"),
        (DetectionConfig, {"min_score": -1.0}, "min_score is -1.0; it must not be negative"),
        (DetectionConfig, {"min_length_px": -1.0}, "min_length_px is -1.0; not negative"),
        (DetectionConfig, {"max_streaks": 0}, "max_streaks is 0; at least 1"),
        (CutoutConfig, {"size_px": 30}, "cutout size is 30; it must be 31 to 512 px"),
        (MatchConfig, {"radius_arcsec": 0.0}, "match radius is 0.0; it must be > 0"),
        (MatchConfig, {"rate_tolerance": 0.0}, "rate_tolerance and angle_tolerance_deg"),
        (LabelConfig, {"min_rb": 0.8, "max_rb": 0.2}, "rb range is 0.8 to 0.2"),
        (LabelConfig, {"panel_px": 64}, "panel_px is 64; it must be 128 to 1024"),
        (LabelConfig, {"limit": -1}, "limit is -1; it must be 0"),
    ],
)
def test_a_value_out_of_range_is_named(kind: type, values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        kind(**values)


def test_nested_values_reach_their_stage() -> None:
    settings = settings_from_mapping(
        {"detection": {"threshold_snr": 7, "noise": {"box_px": 32}}, "cutouts": {"size_px": 64}}
    )
    assert settings.detection.threshold_snr == 7.0
    assert settings.detection.noise.box_px == 32
    assert settings.cutouts.size_px == 64
    assert settings.match == MatchConfig()


def test_nothing_given_means_the_defaults() -> None:
    # As text: a noise floor that is not given is NaN, which Python 3.13 finds unequal.
    assert repr(settings_from_mapping({})) == repr(Settings())


def test_an_unknown_setting_is_named_with_those_that_exist() -> None:
    with pytest.raises(ConfigError, match=r"settings.detection has no setting thresold.*min_score"):
        settings_from_mapping({"detection": {"thresold": 5}})


def test_an_unknown_stage_is_named() -> None:
    with pytest.raises(ConfigError, match=r"settings has no setting detector; it has cutouts"):
        settings_from_mapping({"detector": {}})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"detection": 5}, "settings.detection is 5; expected a table of settings"),
        ({"detection": {"threshold_snr": "high"}}, "threshold_snr is 'high'; expected float"),
        ({"detection": {"threshold_snr": True}}, "threshold_snr is True; expected float"),
        ({"detection": {"max_streaks": 2.5}}, "max_streaks is 2.5; expected int"),
        ({"detection": {"negative": 1}}, "negative is 1; expected bool"),
    ],
)
def test_a_value_of_another_kind_is_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        settings_from_mapping(values)


def test_a_lone_text_is_no_list_of_classes() -> None:
    with pytest.raises(ConfigError, match="labels is 'satellite'"):
        settings_from_mapping({"labels": {"labels": "satellite"}})


def test_lists_become_tuples() -> None:
    settings = settings_from_mapping({"labels": {"labels": ["asteroid"], "ccds": [3, 4]}})
    assert settings.labels.labels == ("asteroid",)
    assert settings.labels.ccds == (3, 4)


def test_a_setting_out_of_range_is_a_config_error_from_a_mapping_too() -> None:
    with pytest.raises(ConfigError, match=r"threshold is 1\.0"):
        settings_from_mapping({"detection": {"threshold_snr": 1.0}})


def test_equal_settings_have_equal_fingerprints() -> None:
    assert Settings().fingerprint() == settings_from_mapping({}).fingerprint()


def test_every_setting_changes_the_fingerprint() -> None:
    plain = Settings().fingerprint()
    deeper = dataclasses.replace(Settings(), detection=DetectionConfig(threshold_snr=7.0))
    finer = dataclasses.replace(Settings(), detection=DetectionConfig(noise=NoiseConfig(box_px=32)))
    assert len({plain, deeper.fingerprint(), finer.fingerprint()}) == 3


def test_settings_do_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().cutouts = CutoutConfig()  # type: ignore[misc]


def _every_number() -> list[tuple[str, ...]]:
    """Paths of all settings that are numbers."""
    found = []

    def walk(settings: object, path: tuple[str, ...]) -> None:
        for field in dataclasses.fields(settings):  # type: ignore[arg-type]
            value = getattr(settings, field.name)
            if dataclasses.is_dataclass(value):
                walk(value, (*path, field.name))
            elif isinstance(value, int | float) and not isinstance(value, bool):
                found.append((*path, field.name))

    walk(Settings(), ())
    return found


@pytest.mark.parametrize("value", [math.inf, -math.inf, 1e300, 10**15, -(10**15), "5", [1], "nan"])
@pytest.mark.parametrize("path", _every_number(), ids=".".join)
def test_every_number_has_a_range_and_says_it(path: tuple[str, ...], value: object) -> None:
    if path[-1] == "floor" and value in (1e300, 10**15, -(10**15)):
        pytest.skip("counts of any size")
    values: object = float("nan") if value == "nan" and path[-1] != "floor" else value
    if path[-1] == "floor" and value == "nan":
        values = "nan of what"
    for name in reversed(path):
        values = {name: values}
    said = rf"{path[-1]}|it must|must be|in 0 to 1"
    with pytest.raises(ConfigError, match=said):
        settings_from_mapping(values)  # type: ignore[arg-type]
