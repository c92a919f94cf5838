"""The site's settings, with a test database that other processes can open, and cheap passwords."""

from pathlib import Path

from collector_site.settings import *  # noqa: F403
from collector_site.settings import BASE_DIR, DATABASES

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    stem = Path(DATABASES["default"]["NAME"]).stem
    (BASE_DIR / ".cache").mkdir(exist_ok=True)
    DATABASES["default"]["TEST"] = {"NAME": BASE_DIR / ".cache" / f"test_{stem}.sqlite3"}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
