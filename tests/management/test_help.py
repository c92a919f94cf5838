"""The help of the commands is in the terminal's language."""

import argparse
import re

import pytest
from django.core.management import get_commands, load_command_class

OURS = sorted(name for name, app in get_commands().items() if app == "tasks_app")


def texts(parser):
    """Yields what the help of a command and of its verbs says, also of the options that Django adds."""
    yield parser.description
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from (choice.help for choice in action._choices_actions)
            for sub in action.choices.values():
                yield from texts(sub)
        else:
            yield action.help


@pytest.mark.parametrize("name", OURS)
def test_help_is_in_the_language_of_the_terminal(name, monkeypatch):
    for locale, pattern in (("zh_CN.UTF-8", "[\u4e00-\u9fff]"), ("en_US.UTF-8", "^[^\u4e00-\u9fff]+$")):
        monkeypatch.setenv("LC_ALL", locale)
        parser = load_command_class("tasks_app", name).create_parser("manage.py", name)
        assert [text for text in texts(parser) if text and not re.search(pattern, str(text))] == []
        heading = parser.format_help().splitlines()[0]
        assert heading.startswith("用法：" if locale.startswith("zh") else "usage: ")


def test_errors_of_arguments_are_in_the_language_of_the_terminal(monkeypatch, capsys):
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    command = load_command_class("tasks_app", "collect")
    command._called_from_command_line = True
    parser = command.create_parser("manage.py", "collect")
    for words, sentence in (
        (["list", "--limit", "x"], "参数 --limit：“x”不是 1 至 1000 的整数"),
        (["list", "--limit"], "参数 --limit：需要一个值"),
        (["list", "--nothing"], "无法识别的参数：--nothing"),
        (["start", "--start-date", "1"], "“1”不是 YYYY-MM-DD 形式的日期"),
    ):
        with pytest.raises(SystemExit):
            parser.parse_args(words)
        assert sentence in capsys.readouterr().err
