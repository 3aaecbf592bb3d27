"""Errors meant for the person at the keyboard: what was wrong, where, and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake that the user can mend; the command prints its message without a traceback and exits with `exit_code`.

    Exit codes: 2 wrong usage or configuration, 1 a run that ended but whose result must not be trusted or is incomplete.
    """

    def __init__(self, message: str, exit_code: int = 2) -> None:
        # Both go into `args`, so that the error is the same after its way from a worker process.
        super().__init__(message, exit_code)
        self.message = message
        self.exit_code = exit_code

    def __str__(self) -> str:
        return self.message


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`' Did you mean "x"?'` for the nearest known name, or an empty string where none is near."""
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f' Did you mean "{nearest[0]}"?' if nearest else ""
