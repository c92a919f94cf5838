"""Every path of the site, read from its own table: one that is added can't be forgotten."""

from collections.abc import Iterator

from django.urls import URLPattern, URLResolver, get_resolver


def walk(
    patterns: list[URLPattern | URLResolver], start: str = "", spaces: tuple[str, ...] = ()
) -> Iterator[tuple[str, str]]:
    """(name with its namespaces, route)."""
    for pattern in patterns:
        route = start + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            within = (*spaces, pattern.namespace) if pattern.namespace else spaces
            yield from walk(pattern.url_patterns, route, within)
        else:
            yield ":".join([*spaces, pattern.name or ""]), route


ALL = list(walk(get_resolver().url_patterns))
ADMIN = [(name, route) for name, route in ALL if route.startswith("admin/")]
REST = [(name, route) for name, route in ALL if not route.startswith("admin/")]
