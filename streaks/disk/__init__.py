"""Files written whole, and files read within limits: for every room that opens files.

The modules inside: ``writing`` (what appears under its name is complete), ``limits`` (how much is
unpacked), ``reading`` (files within limits), ``texts`` (JSON and TOML). The limits lie far above
what surveys write; what is beyond them is refused with a `ReadError` that says the limit.
"""

from streaks.disk.limits import GZIP_MAGIC, Limits, TooLargeError, bounded_gzip, unpack_gzip
from streaks.disk.reading import load_arrays, open_regular, read_bytes
from streaks.disk.texts import MAX_DEPTH, check_depth, json_integer, parse_json, read_toml
from streaks.disk.writing import folder_written_whole, written_whole

__all__ = [
    "GZIP_MAGIC",
    "MAX_DEPTH",
    "Limits",
    "TooLargeError",
    "bounded_gzip",
    "check_depth",
    "folder_written_whole",
    "json_integer",
    "load_arrays",
    "open_regular",
    "parse_json",
    "read_bytes",
    "read_toml",
    "unpack_gzip",
    "written_whole",
]
