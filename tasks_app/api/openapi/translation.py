"""The schema in the reader's language: descriptions and summaries; names and examples stay as they are."""

from collections.abc import Iterator
from typing import Any

from django.utils.translation import pgettext

CONTEXT = "API"  # of the messages: short texts such as “Percent.” mean something else on pages
TEXTS = ("summary", "description")
AS_THEY_ARE = ("example", "examples", "default", "enum")


def translate_schema(result: Any, generator: Any, request: Any, public: bool) -> Any:
    """Hook of drf-spectacular: returns the schema with translated texts."""
    return _translated(result)


def paragraphs(node: Any, key: str = "") -> Iterator[str]:
    """Yields what is translated: the texts by paragraphs, without lists of an enumeration's values."""
    if key in TEXTS and isinstance(node, str):
        yield from (part for part in node.split("\n\n") if part and not part.startswith("* "))
    elif isinstance(node, dict):
        for name, each in node.items():
            yield from () if name in AS_THEY_ARE else paragraphs(each, name)
    elif isinstance(node, list):
        for each in node:
            yield from paragraphs(each)


def _translated(node: Any, key: str = "") -> Any:
    if key in TEXTS and isinstance(node, str):
        return "\n\n".join(pgettext(CONTEXT, part) if part else "" for part in node.split("\n\n"))
    if isinstance(node, list):
        return [_translated(each) for each in node]
    if not isinstance(node, dict) or key in AS_THEY_ARE:
        return node
    return {name: _translated(each, name) for name, each in node.items()}
