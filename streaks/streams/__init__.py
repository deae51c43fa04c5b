"""Alerts in and out: our word on each, from files and Kafka to files, topics and nights."""

from streaks.streams.judge import Judge
from streaks.streams.plan import AlertFilter
from streaks.streams.run import FilterCounts, run_filter
from streaks.streams.words import WORD_COLUMNS

__all__ = ["WORD_COLUMNS", "AlertFilter", "FilterCounts", "Judge", "run_filter"]
