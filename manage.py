#!/usr/bin/env python
"""Django's command line."""

import os
import signal
import sys


def main() -> None:
    if "quickstart" in sys.argv[1:2]:  # it ends cleanly when asked to, and has nothing to clean up yet
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, lambda *_: os._exit("--once" in sys.argv))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "collector_site.settings")
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except SystemExit as stop:
        if isinstance(stop.code, str) and "doctor" in sys.argv[1:2]:  # malformed settings are a fault
            print(stop.code, file=sys.stderr)
            sys.exit(2)
        raise
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
