"""Slows down password guessing: the client address that django-axes counts by, and the page of the lock."""

from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import add_never_cache_headers

NO_ADDRESS = "0.0.0.0"  # noqa: S104 - a client without an address, as behind a Unix socket


def client_address(request: HttpRequest) -> str:
    """Returns the client's address; an IPv6 address as its /64, since a single host owns all of it.

    Behind N proxies (DJANGO_PROXIES) it is the Nth from the right in X-Forwarded-For, which the first proxy
    wrote; the client may have claimed anything further left. Without proxies the header is ignored.

    axes' own AXES_IPWARE_PROXY_COUNT would need django-ipware, and counts each address of a /64 by itself.
    """
    hops: int = settings.PROXIES
    forwarded = [part for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if part.strip()]
    text = forwarded[-hops] if hops and len(forwarded) >= hops else request.META.get("REMOTE_ADDR", "")
    try:
        address = ip_address(text.strip())
    except ValueError:
        return NO_ADDRESS
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ip_network((int(address), 64), strict=False).network_address)


def locked_out(request: HttpRequest, response: Any = None, credentials: Any = None) -> HttpResponse:
    """Returns the 429 after too many failures, which says how long to wait."""
    seconds = int(settings.AXES_COOLOFF_TIME.total_seconds())
    page = render(request, "locked_out.html", {"minutes": seconds // 60}, status=429)
    page["Retry-After"] = str(seconds)
    add_never_cache_headers(page)
    return page
