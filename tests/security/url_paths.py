"""Every path of the site, from its URL configuration: a new path can't be forgotten."""

from collections.abc import Iterator

from django.urls import URLPattern, URLResolver, get_resolver


def iterate_paths(
    patterns: list[URLPattern | URLResolver], start: str = "", namespaces: tuple[str, ...] = ()
) -> Iterator[tuple[str, str]]:
    """Yields (name with its namespaces, route)."""
    for pattern in patterns:
        route = start + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            within = (*namespaces, pattern.namespace) if pattern.namespace else namespaces
            yield from iterate_paths(pattern.url_patterns, route, within)
        else:
            yield ":".join([*namespaces, pattern.name or ""]), route


ALL = list(iterate_paths(get_resolver().url_patterns))
ADMIN = [(name, route) for name, route in ALL if route.startswith("admin/")]
OTHER = [(name, route) for name, route in ALL if not route.startswith("admin/")]
