"""The schema in the reader's language: title, tags, summaries, descriptions and names of examples.

Keys, values of examples and those of enumerations stay as they are.
"""

from collections.abc import Callable, Iterator
from typing import Any

from django.utils.translation import pgettext

CONTEXT = "API"  # of the messages: short texts such as “Percent.” mean something else on pages
TEXTS = ("summary", "description")
AS_THEY_ARE = ("example", "default", "enum")


def translate_schema(result: Any, generator: Any, request: Any, public: bool) -> Any:
    """Hook of drf-spectacular: returns the schema with translated texts."""
    return _with_texts(result, _translate)


def paragraphs(schema: Any) -> Iterator[str]:
    """Yields what is translated: the texts by paragraphs, without lists of an enumeration's values."""
    found: list[str] = []

    def collect(text: str) -> str:
        found.extend(part for part in text.split("\n\n") if part and not part.startswith("* "))
        return text

    _with_texts(schema, collect)
    yield from found


def _translate(text: str) -> str:
    return "\n\n".join(pgettext(CONTEXT, part) if part else "" for part in text.split("\n\n"))


def _with_texts(schema: Any, change: Callable[[str], str]) -> Any:
    """Returns the schema with each text as `change` returns it."""
    changed = _changed(schema, change)
    changed["info"]["title"] = change(changed["info"]["title"])
    for tag in changed["tags"]:
        tag["name"] = change(tag["name"])
    operations = (
        operation for path in changed["paths"].values() for operation in path.values() if "tags" in operation
    )
    for operation in operations:
        operation["tags"] = [change(tag) for tag in operation["tags"]]
    return changed


def _changed(node: Any, change: Callable[[str], str], key: str = "") -> Any:
    if key in TEXTS and isinstance(node, str):
        return change(node)
    if key == "examples" and isinstance(node, dict):
        return {name: {**each, "summary": change(each["summary"])} for name, each in node.items()}
    if isinstance(node, list):
        return [_changed(each, change) for each in node]
    if not isinstance(node, dict) or key in AS_THEY_ARE:
        return node
    return {name: _changed(each, change, name) for name, each in node.items()}
