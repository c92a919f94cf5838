"""gunicorn's own lines in the format of all others."""

import os

from gunicorn import glogging
from gunicorn.config import Config

from tasks_app import logs


class Logger(glogging.Logger):  # type: ignore[misc]
    """Named in gunicorn.conf.py: gunicorn logs before it loads the site and its settings."""

    def setup(self, cfg: Config) -> None:
        super().setup(cfg)
        formatter = logs.formatter(os.environ.get("COLLECTOR_LOG_FORMAT", ""))
        for handler in (*self.error_log.handlers, *self.access_log.handlers):
            handler.setFormatter(formatter)
