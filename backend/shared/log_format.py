"""Log lines as plain text, or as JSON with the ids of the request, run and task."""

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from densitylab.backend.shared.terminal import replace_unencodable

# Ids that every JSON line carries
log_context: ContextVar[dict[str, Any]] = ContextVar("log_context", default={})  # noqa: B039 (replaced, never changed)


class JsonLines(logging.Formatter):
    """One JSON object per line: time, level, logger, message, and the ids of `log_context`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **log_context.get(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def set_up(form: str) -> None:
    """Log from level INFO to standard output, as "text" or "json"."""
    replace_unencodable()
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines() if form == "json" else logging.Formatter("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    if form == "json":
        server = logging.getLogger("uvicorn")  # has its own handler
        server.handlers, server.propagate = [], True
