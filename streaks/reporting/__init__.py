"""What leaves the program: tables, regions, ADES observations, and the night's page."""

from streaks.reporting.ades import (
    AdesContext,
    ades_context,
    ades_psv,
    split_submittable,
    with_station,
)
from streaks.reporting.campaign_page import write_campaign_page
from streaks.reporting.masks import streak_plane, write_streak_mask
from streaks.reporting.page import NightSummary, PagePictures, select_rows, write_report
from streaks.reporting.regions import ds9_regions
from streaks.reporting.tables import TABLE_SUFFIXES, table_suffix, write_table

__all__ = [
    "TABLE_SUFFIXES",
    "AdesContext",
    "NightSummary",
    "PagePictures",
    "ades_context",
    "ades_psv",
    "ds9_regions",
    "select_rows",
    "split_submittable",
    "streak_plane",
    "table_suffix",
    "with_station",
    "write_campaign_page",
    "write_report",
    "write_streak_mask",
    "write_table",
]
