"""The help of the commands is in the terminal's language."""

import argparse
import re

import pytest
from django.core.management import get_commands, load_command_class

OURS = sorted(name for name, app in get_commands().items() if app == "tasks_app")
DJANGO_OPTIONS = {"help", "version", "verbosity", "settings", "pythonpath", "traceback", "no_color"}
DJANGO_OPTIONS |= {"force_color", "skip_checks"}


def texts(parser):
    """Yields what the help of a command and of its verbs says, without the options that Django adds."""
    yield parser.description
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from (choice.help for choice in action._choices_actions)
            for sub in action.choices.values():
                yield from texts(sub)
        elif action.dest not in DJANGO_OPTIONS:
            yield action.help


@pytest.mark.any_database
@pytest.mark.parametrize("name", OURS)
def test_help_is_in_the_language_of_the_terminal(name, monkeypatch):
    for locale, pattern in (("zh_CN.UTF-8", "[\u4e00-\u9fff]"), ("en_US.UTF-8", "^[^\u4e00-\u9fff]+$")):
        monkeypatch.setenv("LC_ALL", locale)
        parser = load_command_class("tasks_app", name).create_parser("manage.py", name)
        assert [text for text in texts(parser) if text and not re.search(pattern, str(text))] == []
        assert parser.format_help()
