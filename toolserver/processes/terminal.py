"""Words for who has started a server in the foreground, who may have gone."""

from __future__ import annotations

import os
import sys

__all__ = ["tell_terminal"]


def tell_terminal(text: str) -> None:
    """Print a text; whether anybody reads it is of no matter to the server.

    Args:
        text: The text.
    """
    try:
        print(text, flush=True)
    except OSError:
        # Else Python would try once more at the end, and fail for it.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
