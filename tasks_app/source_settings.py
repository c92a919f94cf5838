"""The settings that a source declares for itself: their types, where their values come from, their secrets.

A value is read from the environment (`COLLECTOR_<SOURCE>_<SETTING>`), else from a row that was edited on the
source's page. Secret values never leave this process: `mask` removes them from every text that is stored,
logged or shown.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any, NamedTuple

PREFIX = "COLLECTOR_"
MASK = "********"
UNREADABLE = "\0unreadable"  # stands for a stored text that can't be decrypted, in place of any default
SHORTEST_SECRET = 6  # characters: a shorter one could not be masked without mangling ordinary words
BOOLEANS = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


class InvalidSetting(ValueError):
    """A setting's value is malformed or missing; the message names its variable and never a secret."""


class MissingSetting(InvalidSetting):
    """A required setting has no value; `variable` is its environment variable."""

    def __init__(self, source: str, variable: str) -> None:
        super().__init__(f"The source {source} needs the setting {variable}.")
        self.variable = variable


def gettext_noop(message: str) -> str:
    """Marks a built-in source's sentence to be translated where it is shown: this module knows no Django."""
    return message


@dataclass(frozen=True)
class Setting:
    """One setting of a source.

    `type` converts the text of a value: str, int, float, bool, or a function that raises `ValueError`. `help`
    is one English sentence for the source's page. Without a value of a `required` setting the source can't
    be used, and the pages say so. `lowest` and `highest` bound a number (inclusive).
    """

    name: str  # lower case; with the source's name it makes the variable
    type: Callable[[str], Any] = str
    help: str = ""
    default: Any = ""
    secret: bool = False
    required: bool = False
    lowest: float = -math.inf
    highest: float = math.inf

    def parse(self, text: str) -> Any:
        """Returns the value of a text. Raises `ValueError` with a sentence that does not show a secret."""
        shown = "the value" if self.secret else f"“{text}”"
        if self.type is bool:
            if text.strip().lower() not in BOOLEANS:
                raise ValueError(f"{shown} is neither true nor false")
            return BOOLEANS[text.strip().lower()]
        try:
            value = self.type(text.strip())
        except (ValueError, ArithmeticError) as error:
            kind = {int: "a whole number", float: "a number"}.get(self.type)  # type: ignore[call-overload]
            why = f"is not {kind}" if kind else f"is malformed: {'' if self.secret else error}".rstrip(": ")
            raise ValueError(f"{shown} {why}") from None
        if self.type in (int, float) and not self.lowest <= value <= self.highest:
            raise ValueError(f"{shown} is not from {self.lowest:,g} to {self.highest:,g}")
        if self.secret and len(text.strip()) < SHORTEST_SECRET:
            raise ValueError(f"a secret has at least {SHORTEST_SECRET} characters")
        return value


# Every source has these: what it declares in the attributes of the same names is their default.
LIMIT_SETTINGS = (
    Setting(
        "rate",
        float,
        gettext_noop("Requests per second over all workers and hosts; 0: no limit."),
        0.0,
        lowest=0,
        highest=1e6,
    ),
    Setting(
        "per_minute",
        int,
        gettext_noop("Requests per minute over all workers and hosts; 0: no limit."),
        0,
        lowest=0,
        highest=1e9,
    ),
    Setting(
        "per_hour",
        int,
        gettext_noop("Requests per hour over all workers and hosts; 0: no limit."),
        0,
        lowest=0,
        highest=1e9,
    ),
    Setting(
        "daily",
        int,
        gettext_noop("Requests per day over all workers and hosts; 0: no limit."),
        0,
        lowest=0,
        highest=1e9,
    ),
)


class SourceSettings(Mapping[str, Any]):
    """The values of a source's settings, by name; its repr hides the secrets."""

    def __init__(self, values: Mapping[str, Any], secret: frozenset[str] = frozenset()) -> None:
        self._values, self._secret = dict(values), secret

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        shown = {name: MASK if name in self._secret and value else value for name, value in self.items()}
        return f"SourceSettings({shown!r})"


def declared(source: Any) -> tuple[Setting, ...]:
    """Returns the settings of a source's class: its own, and the limits that every source has.

    A class may use the name `settings` for something else, such as a dict or a method: without a `Setting` in
    it, it declares nothing. Raises `InvalidSetting` for a malformed declaration.
    """
    own = getattr(source, "settings", ())
    if not (isinstance(own, tuple | list) and any(isinstance(each, Setting) for each in own)):
        own = ()
    if not all(isinstance(each, Setting) for each in own):
        raise InvalidSetting("its settings must be a tuple of Setting(…)")
    for each in own:
        _check(each)
    limits = [_with_default(each, getattr(source, each.name, 0)) for each in LIMIT_SETTINGS]
    names = [each.name for each in (*own, *limits)]
    for name in names:
        if names.count(name) > 1:
            raise InvalidSetting(f"its setting “{name}” is declared twice, or by every source")
    return (*own, *limits)


def _check(setting: Setting) -> None:
    """Raises `InvalidSetting` for a name, type or default that no value could have."""
    name, default = setting.name, setting.default
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise InvalidSetting(f"its setting “{name}” is not a lower-case name")
    if not callable(setting.type):
        raise InvalidSetting(f"the type of its setting “{name}” is neither a type nor a function")
    if default in ("", None) or setting.type not in (str, int, float, bool):
        return
    allowed = (int, float) if setting.type is float else (setting.type,)
    if type(default) not in allowed:
        raise InvalidSetting(f"the default of its setting “{name}” is no {setting.type.__name__}")
    try:
        setting.parse(str(default))
    except ValueError as error:
        raise InvalidSetting(f"the default of its setting “{name}”: {error}") from None


def _with_default(limit: Setting, default: Any) -> Setting:
    return Setting(limit.name, limit.type, limit.help, default, lowest=limit.lowest, highest=limit.highest)


def variable_of(source_name: str, setting: str) -> str:
    """Returns the environment variable of a source's setting."""
    return PREFIX + re.sub(r"[^A-Z0-9]", "_", f"{source_name}_{setting}".upper())


def read(
    source: Any, environment: Mapping[str, str], stored: Mapping[str, str], *, needs_all: bool = False
) -> SourceSettings:
    """Returns a source's values: of the environment, else of the `stored` texts, both by variable.

    Raises `InvalidSetting`, which names the variable; with `needs_all` also for a missing required value.
    """
    settings, values = declared(source), {}
    for setting in settings:
        variable = variable_of(source.name, setting.name)
        text = environment.get(variable) or stored.get(variable) or ""
        if not text.strip():
            if needs_all and setting.required:
                raise MissingSetting(source.name, variable)
            values[setting.name] = setting.default
            if setting.secret:
                remember_secret(str(setting.default))
            continue
        if text == UNREADABLE:
            raise InvalidSetting(
                f"{variable}: the stored value was encrypted with another DJANGO_SECRET_KEY: enter it again."
            )
        if setting.secret:
            remember_secret(text)
        try:
            values[setting.name] = setting.parse(text)
        except ValueError as error:
            raise InvalidSetting(f"{variable}: {error}.") from None
    return SourceSettings(values, frozenset(each.name for each in settings if each.secret))


class _Secret(NamedTuple):
    """A secret as `mask` looks for it: a text without its `core` has no form of it."""

    core: str
    forms: re.Pattern[str]


_secrets: dict[str, _Secret] = {}
# Python writes a long text over several lines, cut after a space; so do the pages of errors.
_QUOTE = r"""(?:["']|&\#x27;|&\#39;|&quot;)"""
_CUT = rf"(?:{_QUOTE}\s*\n\s*{_QUOTE})?"


def remember_secret(text: str) -> None:
    """Makes `mask` hide this text from now on, also as addresses, pages, JSON and Python write it."""
    secret = text.strip()
    if len(secret) >= SHORTEST_SECRET and secret not in _secrets:
        core = max(re.findall("[A-Za-z0-9]*", secret), key=len)  # no form writes it otherwise
        _secrets[secret] = _Secret(core, re.compile("".join(map(_forms_of, secret))))


def _forms_of(character: str) -> str:
    """Returns the pattern of a character as it is, percent-encoded, escaped, and as an HTML entity."""
    if character.isascii() and character.isalnum():
        return character
    code, as_bytes = f"{ord(character):x}", character.encode(errors="surrogatepass")
    in_python = character.encode("unicode_escape").decode()
    forms = {character, escape(character), in_python, as_bytes.decode("latin-1")}
    patterns = [*map(re.escape, sorted(forms, key=len, reverse=True))]
    patterns += [
        "".join(f"(?i:%{byte:02x})" for byte in as_bytes),
        "".join(f"(?i:\\\\x{byte:02x})" for byte in as_bytes),
        "".join(rf"(?i:\\u{unit:04x})" for unit in _utf_16(character)),
        rf"(?i:&\#(?:x0*{code}|0*{ord(character)});)",
    ]
    if character.isspace():
        return f"(?:{'|'.join([*patterns, '[+]'])}){_CUT}"
    return rf"\\?(?:{'|'.join(patterns)})"


def _utf_16(character: str) -> list[int]:
    """Returns the units of 16 bits in which JSON writes a character."""
    units = character.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(units[place : place + 2]) for place in range(0, len(units), 2)]


def mask(text: str) -> str:
    """Returns the text without the secrets that this process knows."""
    for secret in sorted(_secrets, key=len, reverse=True):
        if _secrets[secret].core in text:
            text = _secrets[secret].forms.sub(MASK, text)
    return text
