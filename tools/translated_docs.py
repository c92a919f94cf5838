"""Tells which sections of docs/zh are behind: `python -m tools.translated_docs [--update PAGE …]`.

Each section of a page in docs/zh begins with a line that names the English section and the hash of the text
from which it was translated: `<a id="what-differs"></a><!-- 0123456789ab -->`. A section that says that it is
not translated has the word `untranslated` in place of the hash.

`--update docs/zh/NAME.md` writes today's hashes, once the sections are translated, and adds each new English
section as one that is not translated yet.
"""

import argparse
import hashlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHINESE = ROOT / "docs" / "zh"
UNTRANSLATED = "untranslated"
SAYS_UNTRANSLATED = "本节尚未翻译，见[英文版]"
MARK = re.compile(r'^<a id="([^"]+)"></a><!-- (\w+) -->\n', re.MULTILINE)
FENCED = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Section:
    """A heading and the text up to the next one."""

    anchor: str
    level: int
    text: str
    recorded: str = ""  # the hash in a Chinese page

    @property
    def hash(self) -> str:
        """Returns 12 hex digits, which wrapping the lines otherwise does not change."""
        return hashlib.sha256(" ".join(self.text.split()).encode()).hexdigest()[:12]


def anchor(heading: str) -> str:
    """Returns the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def english_sections(text: str) -> dict[str, Section]:
    """Returns the sections of an English page by anchor, in their order."""
    code = [range(*block.span()) for block in FENCED.finditer(text)]
    headings = [
        found for found in HEADING.finditer(text) if not any(found.start() in block for block in code)
    ]
    ends = [found.start() for found in headings[1:]] + [len(text)]
    sections = (
        Section(anchor(found[2]), len(found[1]), text[found.start() : end])
        for found, end in zip(headings, ends, strict=True)
    )
    return {section.anchor: section for section in sections}


def chinese_sections(text: str) -> dict[str, Section]:
    """Returns the sections of a Chinese page by the anchors of the English ones, in their order."""
    _, *parts = MARK.split(text)
    return {
        name: Section(name, len(body) - len(body.lstrip("#")), body, recorded)
        for name, recorded, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    }


def english_page(page: Path) -> Path:
    return page.parent.parent / page.name


def stale(page: Path) -> list[str]:
    """Returns a sentence for each section of a Chinese page that has to be looked at."""
    english = english_sections(english_page(page).read_text())
    chinese = chinese_sections(page.read_text())
    return [
        *(f"section “{name}” is new in English" for name in english if name not in chinese),
        *(f"section “{name}” is not in English any more" for name in chinese if name not in english),
        *(
            f"section “{name}” has changed in English"
            for name, section in chinese.items()
            if name in english and section.recorded not in (UNTRANSLATED, english[name].hash)
        ),
    ]


def advice(page: Path) -> str:
    """Returns what to do about the sections of a page that are behind."""
    name = f"docs/zh/{page.name}"
    return f"Translate what has changed into {name}, then: python -m tools.translated_docs --update {name}"


def placeholder(section: Section, page: Path) -> str:
    """Returns what a Chinese page says in place of a section that is not translated."""
    heading = section.text.splitlines()[0]
    return (
        f'<a id="{section.anchor}"></a><!-- {UNTRANSLATED} -->\n{heading}\n\n'
        f"{SAYS_UNTRANSLATED}(../{page.name}#{section.anchor})。\n\n"
    )


def updated(page: Path) -> str:
    """Returns the text of a Chinese page with today's hashes, in the order of the English sections."""
    text = page.read_text()
    chinese = chinese_sections(text)
    return MARK.split(text)[0] + "".join(_updated(page, chinese)).rstrip() + "\n"


def _updated(page: Path, chinese: dict[str, Section]) -> Iterator[str]:
    for name, section in english_sections(english_page(page).read_text()).items():
        if name in chinese:
            mark = UNTRANSLATED if SAYS_UNTRANSLATED in chinese[name].text else section.hash
            yield f'<a id="{name}"></a><!-- {mark} -->\n{chinese[name].text.rstrip()}\n\n'
        else:
            yield placeholder(section, page)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--update", nargs="+", type=Path, default=[], metavar="PAGE")
    for page in parser.parse_args().update:
        page.write_text(updated(page.resolve()))
    behind = {page: found for page in sorted(CHINESE.glob("*.md")) if (found := stale(page))}
    for page, found in behind.items():
        print(f"docs/zh/{page.name}: {'; '.join(found)}.\n  {advice(page)}")
    return 1 if behind else 0


if __name__ == "__main__":
    sys.exit(main())
