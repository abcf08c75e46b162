"""One form for the lines of a log: plain, or JSON with the ids of what they are about."""

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

# What the lines are about, wherever in the code they are written
subject: ContextVar[dict[str, Any]] = ContextVar("subject", default={})  # noqa: B039 (replaced, never changed)


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the ids of `subject`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage(), **subject.get(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def set_up(form: str) -> None:
    """Sends everything from the level INFO on to standard output, as "text" or "json"."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines() if form == "json" else logging.Formatter("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    if form == "json":
        server = logging.getLogger("uvicorn")  # brings a handler of its own
        server.handlers, server.propagate = [], True
