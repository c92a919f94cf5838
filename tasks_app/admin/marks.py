"""Small pieces of the data pages: chips, and the way to a stock's page."""

from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString


def chip(tone: str, icon: str, text: Any) -> SafeString:
    """A word in a colour, with an icon: `tone` is good, info, warn, bad or plain."""
    return format_html(
        '<span class="sc-label sc-{}">'
        '<span class="material-symbols-outlined" aria-hidden="true">{}</span>{}</span>',
        tone,
        icon,
        text,
    )


def stock_url(market: str, code: str, **query: str) -> str:
    """The page of the stock with this code, whose id is looked up when somebody goes there."""
    address = reverse("admin:tasks_app_stock_of", args=[market, code])
    return f"{address}?{urlencode(query)}" if any(query.values()) else address
