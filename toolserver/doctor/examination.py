"""Examines a home: one check after the other, each by itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from toolserver.configuration import load
from toolserver.doctor.findings import Case, Finding, problem
from toolserver.doctor.folders import check_permissions, check_room
from toolserver.doctor.keys import check_certificates, check_keys
from toolserver.doctor.machine import check_clock, check_descriptors, check_patches
from toolserver.doctor.starting import (
    check_exposure,
    check_extras,
    check_port,
    check_running,
    check_tools,
)
from toolserver.errors import StartError
from toolserver.home import Home
from toolserver.pidfile import find_server

__all__ = ["examine"]

#: What is looked at, in this order, and by what.
_CHECKS: tuple[tuple[str, Callable[[Case], Iterator[Finding]]], ...] = (
    ("permissions", check_permissions),
    ("disk", check_room),
    ("clock", check_clock),
    ("server", check_running),
    ("port", check_port),
    ("exposure", check_exposure),
    ("keys", check_keys),
    ("certificates", check_certificates),
    ("extras", check_extras),
    ("open files", check_descriptors),
    ("gevent", check_patches),
)


def examine(home: Home) -> Iterator[tuple[str, list[Finding]]]:
    """Look for what is wrong with a home.

    Args:
        home: The home.

    Yields:
        What was looked at, and what was found; nothing was found where it is as it
        should be.
    """
    init = f"run: tsctl --home {home.path} init"
    try:
        home.check()
    except StartError as error:
        message, _, advice = str(error).partition("; ")
        yield "home", [problem(message, advice or "run as the owner of the home")]
        return
    yield "home", []
    try:
        configuration = load(home.settings_file, environment=os.environ)
    except StartError as error:
        yield "settings", [problem(str(error), f"put it right; or {init}")]
        return
    yield "settings", []
    try:
        running = find_server(home)
    except StartError as error:
        message, _, advice = str(error).partition("; ")
        yield "server", [problem(message, advice)]
        return
    case = Case(home, configuration, running)
    may_load = True
    for name, check in _CHECKS:
        found = list(check(case))
        # A trial would make folders, or shut them, and what is wrong be forgotten.
        may_load = may_load and not (name == "permissions" and found)
        yield name, found
    if may_load:
        yield "tools", list(check_tools(case))
