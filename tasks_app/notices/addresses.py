"""Addresses of channels and dead man's switches: checked, encrypted, and masked wherever they could show.

An address is a secret as a whole: whoever has it can write into the group, or sends mail as its user.
"""

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from django.utils.translation import gettext_lazy as _

from tasks_app import source_settings
from tasks_app.db import encryption
from tasks_app.errors import CollectorError

if TYPE_CHECKING:
    from apprise import NotifyBase

LONGEST = 2000  # characters
LONG_PIECE = 12  # characters: a token, rather than a word that would be masked everywhere
# Services that show a message on the very machine of a worker, where nobody sits.
DESKTOPS = frozenset({"blink1", "dbus", "gio", "glib", "gnome", "kde", "macosx", "qt", "syslog", "windows"})
# The addresses of bots as DingTalk's and Feishu's pages show them, to be pasted as they are.
BOTS = (
    (r"https://oapi\.dingtalk\.com/robot/send\?access_token=([0-9A-Za-z]+)", "dingtalk://{}"),
    (r"https://open\.feishu\.cn/open-apis/bot/v2/hook/([\w-]+)/?", "feishu://{}"),
    (r"https://open\.larksuite\.com/open-apis/bot/v2/hook/([\w-]+)/?", "lark://{}"),
)


class InvalidAddress(CollectorError):
    code = "invalid_address"
    template = _("%(problem)s")


class UnreadableAddress(CollectorError):
    code = "unreadable_address"
    template = _("The address was encrypted with another DJANGO_SECRET_KEY: enter it again.")


def parse_channel(text: str) -> str:
    """Returns a channel's address as apprise reads it. Raises `InvalidAddress`, without the address."""
    address = text.strip()
    remember(address)
    for pattern, form in BOTS:
        if match := re.fullmatch(pattern, address):
            address = form.format(match[1])
    if len(address) > LONGEST or "://" not in address:
        raise InvalidAddress(problem=_("This is not an address such as mailtos://… or wecombot://…."))
    if address.partition("://")[0].lower() in DESKTOPS:
        raise InvalidAddress(problem=_("This service shows messages only on the worker's own machine."))
    if address.startswith(("http://", "https://")) and service(address) is None:
        raise InvalidAddress(problem=_("Write a webhook's address with jsons:// instead of https://."))
    if service(address) is None:
        raise InvalidAddress(
            problem=_("The library apprise does not know this service, or a part is missing.")
        )
    return address


def parse_ping(text: str) -> str:
    """Returns the address of a dead man's switch. Raises `InvalidAddress`, without the address."""
    address = text.strip()
    remember(address)
    if len(address) > LONGEST or not re.fullmatch(r"https?://[^\s/?#]+[^\s]*", address):
        raise InvalidAddress(problem=_("This is not an address that begins with https:// or http://."))
    return address


def encrypt(address: str) -> str:
    """Returns what is stored of an address."""
    return encryption.encrypt(address)


def decrypt(stored: str) -> str:
    """Returns a stored address, which is masked from now on in what this process logs or shows.

    Raises `UnreadableAddress`.
    """
    try:
        address = encryption.decrypt(stored)
    except encryption.Undecipherable:
        raise UnreadableAddress from None
    remember(address)
    return address


def describe(stored: str) -> str:
    """Returns what a page shows of a stored address: its scheme. Raises `UnreadableAddress`."""
    return f"{decrypt(stored).partition('://')[0]}://{source_settings.MASK}"


def remember(address: str) -> None:
    """Has the address masked, and what may be a token or a password in it, by `source_settings.mask`."""
    for secret in (address, *_secret_parts(address)):
        source_settings.remember_secret(secret)


def _secret_parts(address: str) -> set[str]:
    rest = address.partition("://")[2]
    before, _at, _host = rest.partition("?")[0].rpartition("@")
    parts = {before.partition(":")[2]} if before else set()
    try:
        values = parse_qs(urlsplit(address).query)
    except ValueError:  # a malformed host
        values = {}
    parts |= {text for texts in values.values() for text in texts if len(text) >= LONG_PIECE}
    pieces = re.split(r"[/?&=@:,]+", rest)
    parts |= {piece for piece in pieces if len(piece) >= LONG_PIECE and "." not in piece}
    return {form for part in parts for form in (part, unquote(part))}


def service(address: str) -> "NotifyBase | None":
    """Returns apprise's object of an address, None for one that it does not know.

    Imported here: few processes need its 45 MB.
    """
    from apprise import Apprise, AppriseAsset

    asset: Any = AppriseAsset(
        async_mode=False, app_id="Stock collector", app_desc="Stock collector", plugin_paths=[]
    )
    return Apprise.instantiate(address, asset=asset, suppress_exceptions=True)
