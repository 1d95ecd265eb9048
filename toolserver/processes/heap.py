"""What has been loaded stays: the garbage collector need not look at it again."""

from __future__ import annotations

import gc

from toolserver.debugger.stacks import note_greenlets

__all__ = ["keep"]


def keep() -> None:
    """Have the garbage collector pass over all that there is now.

    A hundred thousand objects of modules and tools would be looked at again and again,
    for tens of milliseconds in which nobody is served. What was passed over before and
    is garbage by now, as tools were loaded anew, is freed first.
    """
    gc.unfreeze()
    gc.collect()
    note_greenlets()
    gc.freeze()
