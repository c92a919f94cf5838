"""Which sources have made-up quotes. The database keeps what they write apart (`db/triggers.py`)."""

from collections.abc import Iterable

from django.utils.translation import gettext as _

from tasks_app import errors
from tasks_app.conf import SYNTHETIC_MARKET
from tasks_app.models import SyntheticSource
from tasks_app.models.quotes import short_name


def note_sources(market: str, names: Iterable[str]) -> None:
    """Records the sources of an order as synthetic if it is of the synthetic market.

    Raises `SourceWasSynthetic` where an order of another market names one of them: a source of real quotes
    has taken the name of one whose quotes were made up, and the two could not be told apart.
    """
    names = list(names)
    if market == SYNTHETIC_MARKET:
        SyntheticSource.objects.bulk_create(map(_row, names), ignore_conflicts=True)
        return
    taken = SyntheticSource.objects.filter(name__in=names).values_list("name", flat=True).first()
    if taken is not None:
        raise errors.SourceWasSynthetic(source=taken, market=SYNTHETIC_MARKET)


def mark(market: str) -> str:
    """Returns the market as lists name it; that of made-up quotes says so."""
    name = short_name(market)
    return _("%(market)s (synthetic)") % {"market": name} if market == SYNTHETIC_MARKET else name


def _row(name: str) -> SyntheticSource:
    return SyntheticSource(name=name)
