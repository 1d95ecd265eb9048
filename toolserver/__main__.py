"""The command ``tsctl``, also ``python -m toolserver``."""

from __future__ import annotations

from toolserver.cli.group import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
