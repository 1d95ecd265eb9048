"""The greenlets of the process, and where each of them stands.

Nothing is noted down about greenlets as they run: they are looked for when somebody
asks, among all objects that the garbage collector knows.
"""

from __future__ import annotations

import gc
import sys
import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Any
from weakref import WeakSet

import gevent
from gevent.hub import Hub
from greenlet import getcurrent, greenlet

import toolserver
from toolserver.handover import Result
from toolserver.nativethreads import ThreadSlots

__all__ = [
    "all_greenlets",
    "format_origin",
    "format_stack",
    "frames_of",
    "locals_of",
    "note_greenlets",
    "place_of",
]

#: Frames of a stack at most: endless recursion has thousands.
_DEEPEST = 2000
#: Where code waits that somebody else has called.
_OURS = (str(Path(gevent.__file__).parent), str(Path(toolserver.__file__).parent))
_LIBRARY = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))
#: What is installed may lie below the standard library.
_INSTALLED = (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
_IN_THREAD, _BESIDE = ThreadSlots.run.__code__, "ThreadSlots._work.<locals>.inside"
_RESULT = Result.__init__.__code__
_frozen: WeakSet[greenlet] = WeakSet()


def note_greenlets() -> None:
    """Remember all greenlets, as the garbage collector will not know them any more.

    Called before `gc.freeze`.
    """
    _frozen.clear()
    _frozen.update(_tracked())


def all_greenlets() -> list[greenlet]:
    """All greenlets of the process that have begun and wait, hubs left out."""
    return [
        found
        for found in {*_frozen, *_tracked()}
        if not isinstance(found, Hub)
        and found.gr_frame is not None
        and found is not getcurrent()
    ]


def _tracked() -> list[greenlet]:
    # By their types: what stands for another object may do things when asked.
    return [each for each in gc.get_objects() if issubclass(type(each), greenlet)]


def frames_of(task: greenlet) -> list[FrameType]:
    """The stack of a greenlet that waits, the innermost frame first.

    Where it waits for a native thread that does its work, the stack of that comes
    first.

    Args:
        task: The greenlet.
    """
    frames = _outwards(task.gr_frame)
    for frame in frames:
        if frame.f_code is _IN_THREAD:
            return [*_frames_beside(frame.f_locals.get("greenlet")), *frames]
    return frames


def _frames_beside(task: Any) -> list[FrameType]:
    """The stack of what does a call's work, in another greenlet and a native thread."""
    frame = getattr(task, "gr_frame", None)
    if frame is None:  # pragma: no cover - it has just ended, or not yet begun
        return []
    frames = _outwards(frame)
    work = None
    for frame in frames:
        if frame.f_code.co_qualname == _BESIDE:
            work = frame.f_locals.get("work")
    if work is not None:  # pragma: no branch - it has just come to its work
        for innermost in sys._current_frames().values():
            thread = _outwards(innermost)
            for depth, frame in enumerate(thread):  # pragma: no branch - others go on
                if frame.f_code is _RESULT and frame.f_locals.get("function") is work:
                    return [*thread[:depth], *frames]
    return frames  # pragma: no cover - the thread has not begun, or has just ended


def _outwards(frame: FrameType | None) -> list[FrameType]:
    frames: list[FrameType] = []
    while frame is not None and len(frames) < _DEEPEST:
        frames.append(frame)
        frame = frame.f_back
    return frames


def place_of(frames: Iterable[FrameType], file: str | None = None) -> str:
    """Tell in a line where a stack stands: in somebody's own code, if there is any.

    Args:
        frames: The stack, the innermost frame first.
        file: The file in whose code it is wanted, if it has some.

    Returns:
        File, line and function.
    """
    frames = list(frames)
    own = [frame for frame in frames if frame.f_code.co_filename == file]
    own = own or [frame for frame in frames if not _is_machinery(frame)] or frames
    if not own:
        return ""
    code = own[0].f_code
    return f"{code.co_filename}:{own[0].f_lineno} in {code.co_qualname}"


def _is_machinery(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    if file.startswith((*_OURS, "<frozen")):
        return True
    return file.startswith(_LIBRARY) and not file.startswith(_INSTALLED)


def format_stack(frames: Iterable[FrameType]) -> str:
    """Write a stack as tracebacks are written, the innermost frame last.

    Args:
        frames: The stack, the innermost frame first.
    """
    rows = [(frame, frame.f_lineno) for frame in frames]
    return "".join(traceback.StackSummary.extract(iter(rows[::-1])).format())


def format_origin(task: greenlet) -> str:
    """Write the stack of whoever has spawned a greenlet; empty where it is not known.

    Args:
        task: The greenlet.
    """
    rows = []
    # gevent keeps the last few frames, as something that only looks like a frame.
    frame = getattr(task, "spawning_stack", None)
    while frame is not None:
        code = frame.f_code
        rows.append((code.co_filename, frame.f_lineno, code.co_name, None))
        frame = frame.f_back
    return "".join(traceback.StackSummary.from_list(rows[::-1]).format())


def locals_of(frames: Iterable[FrameType], depth: int) -> dict[str, Any]:
    """The variables of a frame.

    Args:
        frames: The stack, the innermost frame first.
        depth: How many of the frames of somebody's own code lie above it.

    Raises:
        LookupError: There are not as many.
    """
    frames = list(frames)
    own = [frame for frame in frames if not _is_machinery(frame)] or frames
    if not 0 <= depth < len(own):
        raise LookupError(f"depth: got {depth}, expected less than {len(own)}")
    return dict(own[depth].f_locals)
