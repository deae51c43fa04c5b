"""Nights over years: added whole, asked by sky, time, object and chip."""

from streaks.store.adding import Added, add_night
from streaks.store.asking import Answer, Cone, Question, ask
from streaks.store.objects import other_nights
from streaks.store.places import PLACE_COLUMNS, repeats_of_chips
from streaks.store.sky_catalogue import write_hats
from streaks.store.trends import TREND_COLUMNS, night_trends

__all__ = [
    "PLACE_COLUMNS",
    "TREND_COLUMNS",
    "Added",
    "Answer",
    "Cone",
    "Question",
    "add_night",
    "ask",
    "night_trends",
    "other_nights",
    "repeats_of_chips",
    "write_hats",
]
