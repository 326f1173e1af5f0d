"""The user changes the settings of all paths, or of one: what follows for states, heartbeats and the user.

Which settings there are is known in `paths`. The size of DATA chunks follows elsewhere, from that of the packets.
"""

from __future__ import annotations

from typing import Any

from ...config import Config
from ...paths.path import Path
from ..context import Context
from .heartbeat import Heartbeat
from .reachability import on_verdict


def configure(context: Context, heartbeat: Heartbeat, config: Config) -> None:
    """Other settings for all paths, but what was set for one of them. `ValueError` if these don't go together."""
    paths = context.paths
    intervals = [path.settings.heartbeat_interval for path in paths.paths]
    verdicts = paths.configure(config)
    context.config = config
    for (path, verdict), interval in zip(verdicts, intervals, strict=True):
        if path.settings.heartbeat_interval != interval:
            heartbeat.reschedule(path)
        on_verdict(context, path, verdict)


def configure_path(context: Context, heartbeat: Heartbeat, path: Path, changes: dict[str, Any]) -> None:
    """Other settings for one path. `ValueError` or `TypeError` for what can't be."""
    interval = path.settings.heartbeat_interval
    verdict = context.paths.configure_path(path, changes)
    if path.settings.heartbeat_interval != interval:
        heartbeat.reschedule(path)
    on_verdict(context, path, verdict)
