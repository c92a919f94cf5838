"""Checks that every sentence has a Chinese translation: `python -m tools.translations [--update]`.

`--update` adds what is missing, drops what is no longer used, and compiles the catalogue. Reads our own
sources and the admin theme's, which has no Chinese translation. Needs no GNU gettext. What can be checked of
the Chinese itself is checked as well: `tools.chinese`.

A small English catalogue, edited by hand, has what Django and the theme say in other words than our pages.
"""

import ast
import io
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import unfold
from babel.messages import pofile
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo

from tools import chinese

ROOT = Path(__file__).resolve().parent.parent
CATALOGUE = ROOT / "tasks_app" / "locale" / "zh_Hans" / "LC_MESSAGES" / "django.po"
ENGLISH = ROOT / "tasks_app" / "locale" / "en" / "LC_MESSAGES" / "django.po"
OURS = [ROOT / name for name in ("collector_site", "tasks_app", "templates")]
THEME = [Path(unfold.__file__).parent / "templates", Path(unfold.__file__).parent]
KEYWORDS = {
    "_": None,
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
}
STRING = r"""u?(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")"""
# Django turns a template into text for xgettext that is not valid Python: only the calls are extracted.
CALL = re.compile(rf"\b(?:{'|'.join(KEYWORDS)})\(\s*{STRING}(?:\s*,\s*{STRING})*")
Message = tuple[str | None, str, str | None]


def extracted(folders: list[Path]) -> Iterator[tuple[Message, str]]:
    """Yields (context, singular, plural) of each translatable string, and the name of its file."""
    from django.utils.translation.template import templatize

    if folders[0] in OURS:
        yield from _of_api()
    for path in sorted({p for folder in folders for p in folder.rglob("*") if p.suffix in (".py", ".html")}):
        if "migrations" in path.parts:
            continue
        source = path.read_text()
        if path.suffix == ".html":
            calls = CALL.findall(templatize(source, origin=str(path)))
            source = "\n".join(f"{call})" for call in calls)
        for message in _messages(source):
            yield message, path.name


def _of_api() -> Iterator[tuple[Message, str]]:
    """Yields the texts of the OpenAPI schema, most of which are arguments that no call marks."""
    from django.utils import translation
    from drf_spectacular.generators import SchemaGenerator

    from tasks_app.api.openapi.translation import CONTEXT, paragraphs

    with translation.override("en"):
        schema = SchemaGenerator().get_schema(request=None, public=True)
    for text in paragraphs(schema):
        yield (CONTEXT, text, None), "schema"


def _messages(source: str) -> Iterator[Message]:
    for call in ast.walk(ast.parse(source)):  # Babel and xgettext miss what stands in an f-string
        name = getattr(call.func, "id", "") if isinstance(call, ast.Call) else ""
        if not isinstance(call, ast.Call) or name not in KEYWORDS:
            continue
        # A variable's value is listed elsewhere.
        given = [part.value if isinstance(part, ast.Constant) else None for part in call.args]
        spec = KEYWORDS[name] or (1,)
        context = given[0] if isinstance(spec[0], tuple) else None
        texts = [given[n - 1] for n in spec if isinstance(n, int) and n <= len(given)]
        if texts and isinstance(texts[0], str) and texts[0]:
            yield context, texts[0], texts[1] if len(texts) > 1 else None


def is_translated(message: Message) -> bool:
    """Whether Django finds a Chinese translation, in our catalogue or in another app's."""
    from django.utils import translation

    context, singular, plural = message
    with translation.override("zh-hans"):
        if plural is not None:
            return str(translation.ngettext(singular, plural, 2)) != plural
        if context:
            return str(translation.pgettext(context, singular)) != singular
        return str(translation.gettext(singular)) != singular


def load(path: Path = CATALOGUE) -> Catalog:
    """Returns our Chinese catalogue, or the one in a file."""
    with path.open("rb") as file:
        return pofile.read_po(file, locale=path.parent.parent.name)


def problems(catalogue: Catalog) -> Iterator[str]:
    """Yields what is wrong: messages fuzzy, empty, missing or unused, and an outdated compiled file."""
    used = {(message[0], message[1]): message for message, _ in extracted(OURS + THEME)}
    ours = {(context, singular) for (context, singular, _), _ in extracted(OURS)}
    for message in catalogue:
        if message.id and (message.fuzzy or not all(_strings(message.string))):
            yield f"not translated: {message.id}"
        if message.id and _key(message) not in used:
            yield f"no longer used: {message.id}"
    known = {_key(message) for message in catalogue}
    for key, message in used.items():
        if key not in known and (key in ours or not is_translated(message)) and not is_plain(message[1]):
            yield f"missing: {message[1]!r}"
    for message in catalogue:
        for text in _strings(message.string) if message.id else ():
            for fault in chinese.faults(str(text)):
                yield f"{fault}: {text}"
    for path, current in ((CATALOGUE, catalogue), (ENGLISH, load(ENGLISH))):
        file = path.with_suffix(".mo")
        if not file.exists() or compiled(current) != file.read_bytes():
            yield f"{file.name} of {path.parent.parent.name} is out of date: run make messages"


def is_plain(text: str) -> bool:
    """Whether there is nothing to translate: no letters outside placeholders."""
    return not re.search(r"[A-Za-z]", re.sub(r"%\(\w+\)[sd]|%[sd]|\{\w*\}", "", text))


def _key(message: object) -> tuple[str | None, str]:
    identity = message.id[0] if isinstance(message.id, tuple) else message.id  # type: ignore[attr-defined]
    return message.context, identity  # type: ignore[attr-defined]


def _strings(string: object) -> tuple[object, ...]:
    return string if isinstance(string, tuple) else (string,)


def compiled(catalogue: Catalog) -> bytes:
    """Returns the catalogue in gettext's binary format."""
    target = io.BytesIO()
    write_mo(target, catalogue)
    return target.getvalue()


def update(catalogue: Catalog) -> None:
    """Adds what is missing, drops what is no longer used, and compiles."""
    used: dict[tuple[str | None, str], Message] = {}
    ours = {(context, singular) for (context, singular, _), _ in extracted(OURS)}
    for message, _ in extracted(OURS + THEME):
        key = (message[0], message[1])
        if key not in used or message[2]:  # a message used both ways is kept with its plural
            used[key] = message
    for message in [m for m in catalogue if m.id and _key(m) not in used]:
        catalogue.delete(message.id, message.context)
    for key, (context, singular, plural) in used.items():
        wanted = key in ours or not is_translated((context, singular, plural))
        if wanted and not is_plain(singular) and catalogue.get(singular, context) is None:
            catalogue.add((singular, plural) if plural else singular, context=context)
    with CATALOGUE.open("wb") as file:
        pofile.write_po(file, catalogue, width=110, sort_output=True, omit_header=False)
    for path in (CATALOGUE, ENGLISH):
        path.with_suffix(".mo").write_bytes(compiled(load(path)))


def main() -> int:
    """Returns 0 when nothing is wrong."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "collector_site.settings")
    import django

    django.setup()
    if "--update" in sys.argv:
        update(load())
    messages = list(problems(load()))
    print("\n".join(messages) or "every sentence is translated")
    return 1 if messages else 0


if __name__ == "__main__":
    sys.exit(main())
