"""The project's own commands, as the reader of a hint can paste them into a shell.

Pages and responses of the API are read on other machines: there a command is one for the project's folder
and names no other path, which would be wrong elsewhere and tell strangers about the server. A terminal is
on the machine of the command that prints the hint: there it works from the current folder.
"""

import shlex
import sys
from pathlib import Path

from django.conf import settings

_in_terminal = False


def write_for_terminal() -> None:
    """Has this process write commands for its own machine and current folder; called by commands."""
    global _in_terminal
    _in_terminal = True


def python() -> str:
    """Returns the interpreter: ".venv/bin/python"; one outside the project as a path only in a terminal."""
    executable = Path(sys.executable)
    if _in_terminal:
        return _short(executable)
    project: Path = settings.BASE_DIR
    return executable.relative_to(project).as_posix() if executable.is_relative_to(project) else "python"


def manage() -> str:
    """Returns what a command of manage.py begins with: ".venv/bin/python manage.py"."""
    return f"{python()} {_project_file('manage.py')}"


def install(requirements: str) -> str:
    """Returns the command that installs a file of requirements."""
    return f"{python()} -m pip install -r {_project_file(requirements)}"


def _project_file(name: str) -> str:
    return _short(settings.BASE_DIR / name) if _in_terminal else name


def _short(path: Path) -> str:
    """Returns a path from the current folder, else from the home folder, else the whole path."""
    here, home = Path.cwd(), Path.home()
    if path.is_relative_to(here):
        return shlex.quote(path.relative_to(here).as_posix())
    if path.is_relative_to(home):
        return f"~/{shlex.quote(path.relative_to(home).as_posix())}"
    return shlex.quote(path.as_posix())
