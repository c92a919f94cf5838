"""The words of argparse and of Django's own options of commands, in the terminal's language."""

import argparse

from django.core.management.base import CommandParser
from django.utils.translation import gettext, gettext_noop, ngettext

WORDS = frozenset(  # as argparse and Django write them
    (
        gettext_noop("usage: "),
        gettext_noop("positional arguments"),
        gettext_noop("options"),
        gettext_noop("show this help message and exit"),
        gettext_noop("%(prog)s: error: %(message)s\n"),
        gettext_noop("argument %(argument_name)s: %(message)s"),
        gettext_noop("ambiguous option: %(option)s could match %(matches)s"),
        gettext_noop("expected at least one argument"),
        gettext_noop("expected at most one argument"),
        gettext_noop("expected one argument"),
        gettext_noop("ignored explicit argument %r"),
        gettext_noop("invalid %(type)s value: %(value)r"),
        gettext_noop("invalid choice: %(value)r (choose from %(choices)s)"),
        gettext_noop("not allowed with argument %s"),
        gettext_noop("one of the arguments %s is required"),
        gettext_noop("the following arguments are required: %s"),
        gettext_noop("unrecognized arguments: %s"),
        gettext_noop("Show program's version number and exit."),
        gettext_noop(
            "Verbosity level; 0=minimal output, 1=normal output, 2=verbose output, 3=very verbose output"
        ),
        gettext_noop("Display a full stack trace on CommandError exceptions."),
        gettext_noop("Don't colorize the command output."),
        gettext_noop("Force colorization of the command output."),
        gettext_noop("Skip system checks."),
        gettext_noop(
            'The Python path to a settings module, e.g. "myproject.settings.main". If this isn\'t provided, '
            "the DJANGO_SETTINGS_MODULE environment variable will be used."
        ),
        gettext_noop('A directory to add to the Python path, e.g. "/home/djangoprojects/myproject".'),
    )
)
EXPECTED = "expected %s argument"


def translate_argparse() -> None:
    """Has argparse write headings and errors in the active language.

    It looks its words up with the standard library's gettext, which knows neither Django's catalogue nor the
    language that a command has activated.
    """
    argparse._ = _translated  # type: ignore[attr-defined]
    argparse.ngettext = _plural  # type: ignore[attr-defined]


def translate_options(parser: CommandParser) -> None:
    """Translates the help of the options that every command of Django has."""
    for action in parser._actions:
        action.help = action.help and _translated(action.help)


def _translated(text: str) -> str:
    return gettext(text) if text in WORDS else text


def _plural(one: str, many: str, count: int) -> str:
    if one == EXPECTED:
        return ngettext("expected %s argument", "expected %s arguments", count)
    return one if count == 1 else many
