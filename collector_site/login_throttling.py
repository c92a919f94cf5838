"""Guessing passwords is slowed down: django-axes counts, here stands whom it counts and what it says."""

from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import add_never_cache_headers

NOBODY = "0.0.0.0"  # noqa: S104 - stands for a client without an address, as behind a Unix socket


def client_address(request: HttpRequest) -> str:
    """Who connects. An IPv6 address stands for its /64, since one host has all of it.

    Behind N proxies (DJANGO_PROXIES) it is what the first of them wrote into X-Forwarded-For, the Nth
    from the right; what stands further left is the client's own claim. Without proxies the header says
    nothing.
    """
    hops: int = settings.PROXIES
    forwarded = [part for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if part.strip()]
    trusted = hops and len(forwarded) >= hops
    return _network(forwarded[-hops] if trusted else request.META.get("REMOTE_ADDR", ""))


def _network(text: str) -> str:
    try:
        address = ip_address(text.strip())
    except ValueError:
        return NOBODY
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ip_network((int(address), 64), strict=False).network_address)


def locked_out(request: HttpRequest, response: Any = None, credentials: Any = None) -> HttpResponse:
    """Too many attempts: 429, and how long to wait."""
    seconds = int(settings.AXES_COOLOFF_TIME.total_seconds())
    answer = render(request, "locked_out.html", {"minutes": seconds // 60}, status=429)
    answer["Retry-After"] = str(seconds)
    add_never_cache_headers(answer)
    return answer
