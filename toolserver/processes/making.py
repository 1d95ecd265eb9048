"""Makes what answers requests in a process."""

from __future__ import annotations

from typing import Any

from toolserver.configuration import Configuration
from toolserver.logs import Logs
from toolserver.processes.common import ServerProcess
from toolserver.worker import Worker

__all__ = ["make_worker"]


def make_worker(
    process: ServerProcess,
    configuration: Configuration,
    logs: Logs | None = None,
    **options: Any,
) -> Worker:
    """Make what answers requests.

    Args:
        process: The process in which it answers.
        configuration: The configuration.
        logs: Where requests are logged; None for nowhere.
        **options: Further arguments of `Worker`.
    """
    access = logs.access if logs is not None else None
    return Worker(
        configuration.settings,
        process.home,
        configuration=configuration,
        access_log=access.write if access is not None else None,
        **options,
    )
