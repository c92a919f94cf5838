"""Commands in hints: as they can be pasted, and without a path of the server for readers elsewhere."""

import re
import sys
from pathlib import Path

import pytest
from babel.messages import pofile
from django.conf import settings

from tasks_app import command_lines, errors
from tasks_app.orders import order
from tasks_app.sources import registry

ROOT = settings.BASE_DIR
CATALOGUE = ROOT / "tasks_app" / "locale" / "zh_Hans" / "LC_MESSAGES" / "django.po"


@pytest.fixture(autouse=True)
def interpreter_of_the_project(monkeypatch):
    monkeypatch.setattr(command_lines, "_in_terminal", False)
    monkeypatch.setattr(sys, "executable", str(ROOT / ".venv" / "bin" / "python"))


def test_command_names_the_interpreter_of_the_project():
    assert command_lines.manage() == ".venv/bin/python manage.py"
    assert command_lines.install("requirements.txt") == ".venv/bin/python -m pip install -r requirements.txt"


def test_command_on_a_page_has_no_path_of_the_server(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/opt/python 3.12/bin/python3")
    assert command_lines.manage() == "python manage.py"


def test_command_in_a_terminal_works_from_the_current_folder(monkeypatch, tmp_path):
    command_lines.write_for_terminal()
    monkeypatch.chdir(ROOT)
    assert command_lines.manage() == ".venv/bin/python manage.py"
    monkeypatch.chdir(ROOT.parent)
    assert command_lines.manage() == f"{ROOT.name}/.venv/bin/python {ROOT.name}/manage.py"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "home", lambda: ROOT.parent)
    assert command_lines.manage() == f"~/{ROOT.name}/.venv/bin/python ~/{ROOT.name}/manage.py"
    monkeypatch.setattr(sys, "executable", "/opt/python 3.12/bin/python3")
    assert command_lines.python() == "'/opt/python 3.12/bin/python3'"


def test_error_names_the_file_that_installs_the_source():
    """Tencent and Sina are read through AKShare's package."""
    files = {name: registry.requirements(name) for name in ("baostock", "tencent", "sina", "tiingo")}
    assert set(files.values()) == {
        "requirements-baostock.txt",
        "requirements-akshare.txt",
        "requirements-tiingo.txt",
    }
    assert all((ROOT / file).exists() for file in files.values())
    error = errors.SourceNotInstalled(source="sina", requirements=files["sina"])
    assert str(error).endswith("run: .venv/bin/python -m pip install -r requirements-akshare.txt")


def test_source_that_is_not_installed_says_how(monkeypatch):
    monkeypatch.setattr(registry, "available", lambda conf: {})
    monkeypatch.setattr(registry, "broken", lambda conf: {})
    monkeypatch.setattr(registry, "hidden", lambda conf: {"tencent": ""})
    with pytest.raises(errors.SourceNotInstalled, match=r"-r requirements-akshare\.txt"):
        order.get_source("tencent", settings.COLLECTOR)


def test_texts_name_commands_by_the_function():
    """No text has a command that only works with an interpreter which the reader's shell may lack."""
    with CATALOGUE.open("rb") as file:
        texts = [text for message in pofile.read_po(file) for text in (message.id, message.string)]
    flat = [text for each in texts for text in (each if isinstance(each, tuple) else (each,))]
    assert len(flat) > 1000
    assert [
        text for text in flat if "manage.py " in text or " pip install" in text.replace("-m pip", "")
    ] == []


@pytest.mark.parametrize("folder", [".", "docs", "docs/zh"])
def test_documents_name_commands_with_the_interpreter(folder):
    pages = [
        page for page in (ROOT / folder).glob("*.md") if page.name not in ("CHANGELOG.md", "CONTRIBUTING.md")
    ]
    lines = [(page.name, line) for page in pages for line in page.read_text().splitlines()]
    command = re.compile(r"(^|`|\bpython )manage\.py [a-z]")
    wrong = [found for found in lines if command.search(found[1].replace(".venv/bin/python manage.py", ""))]
    assert wrong == []
