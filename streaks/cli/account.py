"""``--dry-run``: what would be read, from which words, without a search."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streaks.readers import FrameFiles, FrameOverrides

__all__ = ["print_accounts"]


def print_accounts(
    frames: Sequence[FrameFiles],
    overrides: FrameOverrides | None = None,
    *,
    as_json: bool = False,
) -> int:
    """Print what would be read of each frame.

    Parameters
    ----------
    frames
        Found, not yet read.
    overrides
        What the user knows better than the headers.
    as_json
        One object for all, for programs.

    Returns
    -------
    int
        Exit code: 1 where a frame cannot be read, 2 where none can.
    """
    import logging

    from streaks.readers import account_of

    accounts = []
    log = logging.getLogger("streaks.readers")
    level = log.level
    # What the log would say of a frame is part of its page.
    log.setLevel(logging.ERROR)
    try:
        for files in frames:
            account = account_of(files, overrides)
            accounts.append(account)
            if not as_json:
                print(account.text())
    finally:
        log.setLevel(level)
    if as_json:
        print(json.dumps({"frames": [account.as_dict() for account in accounts]}))
    failed = sum(bool(account.error) for account in accounts)
    return 0 if not failed else 2 if failed == len(accounts) else 1
