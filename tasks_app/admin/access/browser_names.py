"""A browser in words, from what it says of itself."""

import re

BROWSERS = (  # the first that matches: most of them name others, too
    ("Edge", r"Edg(?:e|A|iOS)?/"),
    ("WeChat", r"MicroMessenger/"),
    ("QQ Browser", r"M?QQBrowser/"),
    ("Opera", r"OPR/"),
    ("Firefox", r"Firefox/|FxiOS/"),
    ("Chrome", r"Chrome/|CriOS/"),
    ("Safari", r"Version/.*Safari/"),
)
SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("macOS", "Mac OS X|Macintosh"),
    ("ChromeOS", "CrOS"),
    ("Linux", "Linux|X11"),
)
SHOWN_CHARACTERS = 60


def browser_name(user_agent: str) -> str:
    """Returns such as “Firefox, Windows”; the beginning of the text where nothing is known, "" for ""."""
    found = [
        next((name for name, pattern in kinds if re.search(pattern, user_agent)), "")
        for kinds in (BROWSERS, SYSTEMS)
    ]
    return ", ".join(filter(None, found)) or user_agent[:SHOWN_CHARACTERS]
