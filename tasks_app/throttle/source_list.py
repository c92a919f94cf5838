"""All sources, those included that can't be used here, with what they have: for pages and commands."""

from dataclasses import dataclass, field
from datetime import date

from django.utils.translation import gettext as _

from tasks_app.conf import Conf
from tasks_app.sources import registry
from tasks_app.sources.base import Limits
from tasks_app.sources.traits import SourceTraits


@dataclass(frozen=True)
class SourceEntry:
    """A source by its name. `problem` says why it can't be used here, "" if it can.

    The limits are those in force; 0: none. `capabilities` are some of `traits.CAPABILITIES`. `ready_at` is
    when it has a day's bars, as 17:30 in its market's time; "": soon after the close.
    """

    name: str
    problem: str = ""
    markets: tuple[str, ...] = ()
    adjusts: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    batch_size: int = 1
    limits: Limits = field(default_factory=Limits)
    ready_at: str = ""
    first_day: date | None = None
    is_synthetic: bool = False


def all_sources(conf: Conf) -> list[SourceEntry]:
    """Returns the sources by name, the usable ones first."""
    entries = [describe(name, conf) for name in registry.available(conf)]
    for name, setting in registry.hidden(conf).items():
        needs = _("It needs %(setting)s.") % {"setting": setting}
        entries.append(SourceEntry(name, needs if setting else _("Its package is not installed.")))
    entries += [SourceEntry(name, why) for name, why in registry.broken(conf).items()]
    return sorted(entries, key=lambda entry: (bool(entry.problem), entry.name))


def why_unusable(name: str, conf: Conf) -> str:
    """Returns why an available source can't be made here; "" if it can."""
    if setting := registry.missing_setting(name, conf):
        return _("It needs %(setting)s.") % {"setting": setting}
    return registry.why_unusable(name, conf)


def describe(name: str, conf: Conf) -> SourceEntry:
    """Returns an available source's entry."""
    source, traits, limits = (
        registry.available(conf)[name],
        registry.traits(name, conf),
        registry.limits(name, conf),
    )
    return SourceEntry(
        name,
        why_unusable(name, conf),
        tuple(source.markets),
        tuple(source.adjusts),
        capabilities_of(traits),
        traits.batch_size,
        limits,
        f"{traits.ready_at:%H:%M}" if traits.ready_at else "",
        traits.first_day,
        traits.is_synthetic,
    )


def capabilities_of(traits: SourceTraits) -> tuple[str, ...]:
    """Returns what the source can be asked for, as `traits.CAPABILITIES` names it."""
    further = {
        "batch": traits.batch_size > 1,
        "day": bool(traits.day_markets),
        "factors": bool(traits.factor_markets),
        "actions": bool(traits.action_markets),
    }
    return ("list", "bars", *(name for name, has in further.items() if has))
