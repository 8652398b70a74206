"""The log for programs, as one JSON object a line: ``twistd --nodaemon --logger oadrvtn.console.log.json_lines``."""

from __future__ import annotations

import json
import math
import sys
from datetime import UTC, datetime
from typing import Any

from twisted.logger import FileLogObserver, ILogObserver, LogEvent, formatEvent

_OLD = frozenset({"message", "time", "system", "format", "isError", "failure", "why"})
"""What events of Twisted's older logging say of themselves."""

_LONGEST = 1000
"""Characters of a field that are written."""


def json_lines() -> ILogObserver:
    """An observer that writes to what is stdout now, before twistd takes that for the log, too."""
    return FileLogObserver(sys.stdout, line)


def line(event: LogEvent) -> str | None:
    """An event as a line: when, how grave, from where, the text; under ``fields`` what is in it, and a traceback."""
    failure = event.get("log_failure")
    text = formatEvent(event)
    if not text and failure is None:
        return None
    level = event.get("log_level")
    said: dict[str, Any] = {
        "time": datetime.fromtimestamp(event["log_time"], UTC).isoformat(timespec="milliseconds"),
        "level": level.name if level else "info",
        "logger": event.get("log_namespace", ""),
        "message": text,
    }
    fields = {name: _plain(value) for name, value in event.items() if name[:4] != "log_" and name not in _OLD}
    if fields:
        said["fields"] = fields
    if failure is not None:
        said["traceback"] = failure.getTraceback()
    return json.dumps(said) + "\n"


def _plain(value: Any) -> Any:
    """A value that JSON has a word for."""
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value[:_LONGEST]]
    return str(value)[:_LONGEST]
