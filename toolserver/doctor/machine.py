"""The machine: its clock, its bounds, and whether gevent can patch the server."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from toolserver.daemon import ending, server_environment
from toolserver.doctor.findings import Case, Finding, problem, warning
from toolserver.http.descriptors import needed_descriptors

__all__ = ["check_clock", "check_descriptors", "check_patches"]

#: How far clocks may differ: that of a file system, and two of one machine, seconds.
_FILES_S, _JUMP_S = 2.0, 0.05
_SAMPLE_S = 0.1
#: Files may come from a machine whose clock is a little ahead, seconds.
_AHEAD_S = 120.0

# What was loaded before may keep originals under names of its own, which would hold up
# the loop. Warnings are errors: gevent warns of what it finds itself.
_PATCH = """
import sys, warnings
python = sys.stdlib_module_names
early = [name for name in sys.modules if name.partition(".")[0] not in python]
warnings.simplefilter("error")
from gevent import monkey
monkey.patch_all()
originals = {
    id(value): f"{module}.{name}"
    for module, names in monkey.saved.items() for name, value in names.items()
    if callable(value)
}
for module in early:
    for name, value in list(vars(sys.modules[module]).items()):
        if id(value) in originals:
            raise SystemExit(f"{module}.{name} remains {originals[id(value)]}")
"""


def check_clock(
    case: Case, clock: Callable[[], float] = time.time
) -> Iterator[Finding]:
    """Find a clock that jumps, or differs from that of the file system.

    Args:
        case: What is examined.
        clock: Tells the time in seconds since the epoch.
    """
    advice = "have the clock kept by NTP: tokens, signatures and jobs go by it"
    wall, steady = clock(), time.monotonic()
    time.sleep(_SAMPLE_S)
    drift = (clock() - wall) - (time.monotonic() - steady)
    if abs(drift) > _JUMP_S:
        yield problem(
            f"the clock has jumped by {drift:.2f} s in {_SAMPLE_S:g} s", advice
        )
    try:
        with tempfile.NamedTemporaryFile(dir=case.home.var) as file:
            difference = Path(file.name).stat().st_mtime - clock()
    except OSError:
        # Who may not write there is told so already.
        difference = 0.0
    if abs(difference) > _FILES_S:
        yield problem(
            f"{case.home.var}: the clock of its file system differs by "
            f"{difference:.0f} s from that of this machine",
            advice,
        )
    changed = case.home.settings_file.stat().st_mtime - clock()
    if changed > _AHEAD_S:
        yield warning(
            f"{case.home.settings_file}: was changed {changed:.0f} s from now", advice
        )


def check_descriptors(case: Case) -> Iterator[Finding]:
    """Find out whether there are descriptors for the connections that are allowed.

    Args:
        case: What is examined.
    """
    # Of a server that runs its own bound matters: it may not be that of this shell.
    pid = 0 if case.running is None else case.running.pid
    try:
        _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    except (PermissionError, ProcessLookupError):
        return
    connections = case.configuration.settings.limits.connections
    needed = needed_descriptors(connections)
    if hard != resource.RLIM_INFINITY and hard < needed:
        whose = "of the running server" if pid else "of this shell"
        yield warning(
            f"limits.connections: {connections} of them need {needed} open files, but "
            f"the hard bound {whose} is {hard}; past that clients are refused",
            f"set LimitNOFILE={needed} in the unit, or ulimit -Hn {needed}, or a lower "
            "limits.connections",
        )


def check_patches(case: Case) -> Iterator[Finding]:
    """Find out whether something loads modules before gevent can patch them.

    Args:
        case: What is examined.
    """
    done = subprocess.run(  # noqa: S603  # our own interpreter
        [sys.executable, "-P", "-c", _PATCH],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        cwd=case.home.path,
        env=server_environment(),
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [ending(done.returncode)]
        yield problem(
            f"gevent cannot patch all that is loaded: {lines[-1]}",
            "find what loads it before the server: a sitecustomize module, or a .pth "
            f"file of {sys.prefix}",
        )
