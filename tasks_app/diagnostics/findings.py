"""What an examination finds: kinds with stable codes, and findings of these kinds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import ModuleType
from typing import Any

from django.utils.translation import get_language

from tasks_app import command_lines, source_settings


class Severity(StrEnum):
    """`OK`: as it should be. `WARNING`: it works, and should be looked at. `FAULT`: something
    does not work."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True)
class Finding:
    """One finding; its texts are in the active language, without secrets."""

    kind: "Kind"
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def code(self) -> str:
        return self.kind.code

    @property
    def severity(self) -> Severity:
        return self.kind.severity

    @property
    def found(self) -> str:
        """What was found, one or two sentences."""
        return self._fill(self.kind.found)

    @property
    def advice(self) -> str:
        """What to do; "" where nothing is to be done."""
        return self._fill(self.kind.advice)

    @property
    def see(self) -> str:
        """The paragraph of the documents that says more, in the reader's language; "" for none."""
        language = "zh/" if (get_language() or "").startswith("zh") else ""
        return self.kind.see.replace("docs/", f"docs/{language}")

    def _fill(self, template: Any) -> str:
        text = str(template)
        commands = {"python": command_lines.python(), "manage": command_lines.manage()}
        return source_settings.mask(text % {**commands, **self.params}) if text else ""


@dataclass(frozen=True, eq=False)
class Kind:
    """A kind of finding. `found` and `advice` are texts with %(names)s of the parameters, to be translated;
    %(python)s is the interpreter, and %(manage)s what a command of manage.py begins with.

    A call makes a finding.
    """

    code: str
    severity: Severity
    found: Any
    advice: Any = ""
    see: str = ""

    def __call__(self, **params: Any) -> Finding:
        return Finding(self, params)


def ok(code: str, found: Any) -> Kind:
    """Returns a kind of finding that is as it should be."""
    return Kind(code, Severity.OK, found)


def warning(code: str, found: Any, advice: Any, see: str = "") -> Kind:
    """Returns a kind of finding that should be looked at."""
    return Kind(code, Severity.WARNING, found, advice, see)


def fault(code: str, found: Any, advice: Any, see: str = "") -> Kind:
    """Returns a kind of finding with which something does not work."""
    return Kind(code, Severity.FAULT, found, advice, see)


def runbook(paragraph: str) -> str:
    """Returns where the runbook's paragraph on an alert stands."""
    return f"docs/runbook.md#{paragraph.lower()}"


def operations(paragraph: str) -> str:
    """Returns where a paragraph of the operations document stands."""
    return f"docs/operations.md#{paragraph}"


def kinds_of(module: ModuleType) -> list[Kind]:
    """Returns the kinds that a module declares, in their order."""
    return [value for value in vars(module).values() if isinstance(value, Kind)]
