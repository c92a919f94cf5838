"""The site's settings, with a test database that other processes can open, and cheap passwords."""

import os
from pathlib import Path

from collector_site.settings import *  # noqa: F403
from collector_site.settings import BASE_DIR, CACHES, DATABASES, REST_FRAMEWORK

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    stem = Path(DATABASES["default"]["NAME"]).stem
    (BASE_DIR / ".cache").mkdir(exist_ok=True)
    DATABASES["default"]["TEST"] = {"NAME": BASE_DIR / ".cache" / f"test_{stem}.sqlite3"}
# Several runs of pytest at once share the cache, and must not see each other in it.
CACHES["default"]["KEY_PREFIX"] = os.environ.get("PYTEST_XDIST_WORKER", "alone")
REST_FRAMEWORK["TEST_REQUEST_DEFAULT_FORMAT"] = "json"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
