"""What the browser tests need from the machine, and where it is. The environment's CHROMIUM goes first."""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
AXE = ROOT / ".cache" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
NAMES = ("chromium", "chromium-browser", "google-chrome")
# A root's Chromium has no sandbox to go into; the rest keeps it from asking anybody but our site.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium() -> str | None:
    """The path of a Chromium, None where there is none."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


def missing() -> str:
    """Why the browser tests can't run here, empty when they can."""
    if chromium() is None:
        return "there is no Chromium (Debian: apt-get install chromium; elsewhere: CHROMIUM=path)"
    if find_spec("playwright") is None:
        return "playwright is not installed (pip install -r requirements-browser.txt)"
    return ""


def required() -> bool:
    """Whether what is missing is a failure (BROWSER_TESTS=required), not a reason to skip."""
    return os.environ.get("BROWSER_TESTS") == "required"
