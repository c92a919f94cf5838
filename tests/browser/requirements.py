"""Requirements of the browser tests and their paths. The variable CHROMIUM, even empty, takes precedence."""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
AXE = ROOT / ".cache" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
# The first draws the same pages without windows, profile and extensions: it takes a quarter less CPU time.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
# Chromium cannot use its sandbox as root; the other flags keep it from contacting other hosts.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--process-per-site",
    "--lang=en-US",
]


def chromium() -> str | None:
    """Returns the path of a Chromium executable, None when there is none."""
    if "CHROMIUM" in os.environ:
        return os.environ["CHROMIUM"] or None
    return next(filter(None, map(shutil.which, NAMES)), None)


def missing() -> str:
    """Returns why the browser tests cannot run here; "" when they can."""
    if chromium() is None:
        return "there is no Chromium (Debian: apt-get install chromium-headless-shell; else: CHROMIUM=path)"
    if find_spec("playwright") is None:
        return "playwright is not installed (pip install -r requirements-browser.txt)"
    return ""


def required() -> bool:
    """Whether a missing requirement is a failure (BROWSER_TESTS=required) instead of a reason to skip."""
    return os.environ.get("BROWSER_TESTS") == "required"
