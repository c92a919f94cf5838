"""The installation that a test of the doctor examines."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest


@dataclass
class Site:
    """The installation of a test. `conf` changes settings of the program."""

    settings: Any
    monkeypatch: pytest.MonkeyPatch
    folder: Path

    def conf(self, **changes: Any) -> None:
        self.settings.COLLECTOR = replace(self.settings.COLLECTOR, **changes)
