"""What the documents name: files that exist, and code that is the code."""

import re
from pathlib import Path

import pytest

from tasks_app.conf import Conf
from tasks_app.sources import registry
from tools import translated_docs

ROOT = Path(__file__).parents[1]
CHINESE = sorted(translated_docs.CHINESE.glob("*.md"))
PAGES = [*ROOT.glob("docs/*.md"), *CHINESE, *ROOT.glob("README*.md"), ROOT / "CONTRIBUTING.md"]
FOLDERS = "benchmarks|collector_site|deploy|docs|templates|tests|tools"
PACKAGES = "|".join(folder.name for folder in (ROOT / "tasks_app").iterdir() if folder.is_dir())
MODULE = rf"`((?:{PACKAGES})/\w+)[.\w]*`"  # engine/slice, and lifecycle/completion.end


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page):
    text = page.read_text()
    links = [page.parent / link for link in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text)]
    files = [ROOT / name for name in re.findall(rf"`((?:{FOLDERS}|tasks_app)/[\w./-]*)`", text)]
    modules = [ROOT / "tasks_app" / f"{name}.py" for name in re.findall(MODULE, text)]
    named = [*links, *files, *modules]
    assert [str(path) for path in named if not (path.exists() or path.with_suffix("").is_dir())] == []
    assert named or page.name == "moving-over.md"


def test_real_source_of_the_page_is_the_one_that_runs():
    """And it stays a short one."""
    shown = re.findall(
        r"```python\n(class TushareSource.*?)```", (ROOT / "docs/adding-a-source.md").read_text(), re.DOTALL
    )
    file = (ROOT / "tasks_app/sources/tushare/source.py").read_text()
    assert [file.endswith(code) for code in shown] == [True]
    assert len(file.splitlines()) < 90


def test_sources_read_no_environment():
    """They are handed their settings; the shared process sets its own."""
    files = (ROOT / "tasks_app/sources").rglob("*.py")
    users = {file.parent.name for file in files if re.search(r"\benviron\b", file.read_text())}
    assert users == {"shared_process"}


def rows_of(page, heading):
    """Returns the cells of the tables' rows below a heading, without the heads."""
    section = re.split(
        r"^#+ ", (ROOT / page).read_text().split(heading, 1)[1], maxsplit=1, flags=re.MULTILINE
    )
    lines = re.findall(r"^\| (.*) \|$", section[0], re.MULTILINE)
    return [line.split(" | ") for line in lines if not line.startswith("| ")][1:]


def by_source(rows):
    """Returns the first row of each source's name."""
    return {cells[0].split("`")[1]: cells for cells in reversed(rows) if cells[0].startswith("`")}


def test_chinese_table_of_sources_is_the_english_one():
    english = rows_of("docs/sources.md", "## Which one?")
    chinese = rows_of("README.zh-CN.md", "### 选哪个数据源")
    choices, chosen = (
        [re.findall("`[a-z]+`", row[1]) for row in rows if len(row) == 4] for rows in (english, chinese)
    )
    assert len(choices) == 8
    assert chosen == choices
    numbers, told = (
        {name: re.findall(r"\d+(?:,\d{3})*", " ".join(row)) for name, row in by_source(rows).items()}
        for rows in (english, chinese)
    )
    assert len(numbers) == 7
    assert told == numbers


def test_rates_of_the_page_are_those_of_the_sources():
    rows, checked = by_source(rows_of("docs/sources.md", "## What each has")), 0
    for name in registry.available(Conf()):
        limits, row = registry.traits(name, Conf()).limits, " ".join(rows[name])
        if limits.rate >= 1:
            assert re.search(rf"\b{limits.rate:g} requests? per second", row)
        elif limits.rate:
            assert f"1 request per {1 / limits.rate:g} s" in row
        for most, words in ((limits.per_hour, "an hour"), (limits.daily, "a day")):
            assert not most or re.search(rf"\b{most:,} (?:requests )?{words}", row)
        checked += bool(limits.rate or limits.per_hour)
    assert checked == 7


def shown_code(text):
    """Returns the commands and programs of a section, without the comments that a translation changes."""
    blocks = re.findall(r"```(?!mermaid)\w*\n(.*?)```", text, re.DOTALL)
    return [re.sub(r"\s*#.*", "", block) for block in blocks]


def words_of_code(text):
    """Returns what a section sets as code: settings, commands, keys, values."""
    return set(re.findall(r"`+([^`\n]+)`+", translated_docs.FENCED.sub("", text)))


def table_rows(text):
    return len(re.findall(r"^\|", text, re.MULTILINE))


@pytest.mark.parametrize("page", CHINESE, ids=lambda page: page.name)
def test_chinese_sections_are_those_of_today(page):
    assert not (found := translated_docs.stale(page)), f"{'; '.join(found)}. {translated_docs.advice(page)}"
    assert translated_docs.updated(page) == page.read_text(), (
        "sections in another order than the English ones"
    )


@pytest.mark.parametrize("page", CHINESE, ids=lambda page: page.name)
def test_chinese_sections_leave_out_nothing(page):
    english = translated_docs.english_sections(translated_docs.english_page(page).read_text())
    checked = 0
    for name, section in translated_docs.chinese_sections(page.read_text()).items():
        assert section.level == english[name].level
        if section.recorded == translated_docs.UNTRANSLATED:
            assert translated_docs.SAYS_UNTRANSLATED in section.text
            continue
        assert shown_code(section.text) == shown_code(english[name].text), name
        assert words_of_code(english[name].text) - words_of_code(section.text) == set(), name
        assert table_rows(section.text) == table_rows(english[name].text), name
        checked += 1
    assert checked


def anchors(page):
    text = page.read_text()
    headings = {translated_docs.anchor(found[2]) for found in translated_docs.HEADING.finditer(text)}
    return headings | set(re.findall(r'<a id="([^"]+)">', text))


@pytest.mark.parametrize("page", [*CHINESE, *ROOT.glob("README*.md")], ids=lambda page: page.name)
def test_links_lead_to_headings_and_stay_in_their_language(page):
    text = page.read_text().replace("[English](", "").replace(translated_docs.SAYS_UNTRANSLATED, "")
    links = re.findall(r"\]\(([^)#:\s]*\.md)?(?:#([^)\s]+))?\)", text)
    targets = [((page.parent / path).resolve() if path else page, name) for path, name in links]
    assert [f"{to.name}#{name}" for to, name in targets if name and name not in anchors(to)] == []
    translated = {translated_docs.english_page(chinese) for chinese in CHINESE}
    if page.name != "README.md":
        assert [to.name for to, _ in targets if to in translated] == []


@pytest.mark.parametrize("page", CHINESE, ids=lambda page: page.name)
def test_languages_of_a_page_link_to_each_other(page):
    assert f"[中文](zh/{page.name})" in translated_docs.english_page(page).read_text()
    assert f"[English](../{page.name})" in page.read_text()
    assert f"(docs/zh/{page.name})" in (ROOT / "README.zh-CN.md").read_text()
