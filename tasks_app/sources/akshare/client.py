"""AKShare's package: in the process that is shared for it, only those of its modules that are used.

`import akshare` imports all of its 400 modules, 35 MB. The package's own list of imports says which module
has a function, so a stand-in for the package looks it up there and imports that module alone. It would not
do where other code runs, which may expect the whole package.
"""

import re
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from tasks_app.sources.shared_process.server import in_shared_process

NAME = "akshare"
IMPORTS = re.compile(rf"^from ({NAME}\.[\w.]+) import (?:\(([^)]*)\)|(.+))", re.MULTILINE)


class LazyPackage(ModuleType):
    """The package, whose functions are imported when they are first looked up."""

    def __init__(self) -> None:
        super().__init__(NAME)
        spec = find_spec(NAME)
        assert spec is not None  # noqa: S101 - `source` has looked
        assert spec.origin is not None  # noqa: S101
        self.__path__ = list(spec.submodule_search_locations or ())
        text = Path(spec.origin).read_text("utf-8")
        self._modules = {
            name: module
            for module, in_brackets, in_line in IMPORTS.findall(text)
            for name in re.findall(r"\w+", re.sub(r"#.*", "", in_brackets or in_line))
        }

    def __getattr__(self, name: str) -> Any:
        if name not in self._modules:
            raise AttributeError(f"module {NAME!r} has no attribute {name!r}")
        value = getattr(import_module(self._modules[name]), name)
        setattr(self, name, value)
        return value


if in_shared_process() and NAME not in sys.modules:
    sys.modules[NAME] = LazyPackage()

import akshare  # noqa: E402

__all__ = ["akshare"]
