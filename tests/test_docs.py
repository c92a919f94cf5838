"""What the documents name: files that exist, and code that is the code."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.any_database

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("docs/*.md"), *ROOT.glob("README*.md"), ROOT / "CONTRIBUTING.md"]
FOLDERS = "benchmarks|collector_site|docs|templates|tests|tools"
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
