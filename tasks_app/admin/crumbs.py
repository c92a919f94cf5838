"""Where the reader is: the trail in the page's head."""

from typing import Any, NamedTuple


class Crumb(NamedTuple):
    """One step of the trail; the last one has no link."""

    title: Any
    link: str = ""
