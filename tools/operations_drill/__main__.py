"""Operates an installation for real: `python -m tools.operations_drill` (Linux, as root).

PostgreSQL, Redis, nginx, gunicorn and two worker machines, each in a network namespace with a name and an
address of its own, and with its own copy of the code. Deploys them, sets a target, lets a plan fire and the
vendor break; waits for the notices, heals the vendor, upgrades all machines in the middle of a run, pauses
one over a restart, makes a backup and restores it. Prints each step with what was seen, and exits with 1 at
the first that is not as it should be. Takes about ten minutes, half of them until a pause is told of.
"""

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tools.operations_drill import network, servers, steps
from tools.operations_drill.stage import Stage


def main() -> int:
    if missing := servers.missing_programs():
        print(f"skipped: {' and '.join(missing)} not installed")
        return 0
    if reason := network.lacking():
        print(f"skipped: no worker machines with their own networks can be made here: {reason}")
        return 0
    with tempfile.TemporaryDirectory(prefix="operations-drill-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL and nginx are other users
        stage = stack.enter_context(Stage.built(folder))
        try:
            for step in steps.ALL:
                print(f"\n{step.__doc__.splitlines()[0]}" if step.__doc__ else "", flush=True)
                step(stage)
        except AssertionError as error:
            print(f"NOT AS IT SHOULD BE: {error}\n{stage.logs()}", flush=True)
            return 1
    print("\neverything was as it should be")
    return 0


if __name__ == "__main__":
    sys.exit(main())
