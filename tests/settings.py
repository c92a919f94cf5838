"""The site's settings, with a test database that other processes can open, and cheap passwords."""

import os
from pathlib import Path

from collector_site.settings import *  # noqa: F403
from collector_site.settings import BASE_DIR, CACHES, DATABASES, REST_FRAMEWORK

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    name = Path(DATABASES["default"]["NAME"])
    folder = BASE_DIR / ".cache" if name.parent == BASE_DIR else name.parent
    folder.mkdir(exist_ok=True)
    DATABASES["default"]["TEST"] = {"NAME": folder / f"test_{name.stem}.sqlite3"}
else:  # a test is one transaction, and pauses in it on a busy machine
    DATABASES["default"]["OPTIONS"]["options"] = "-c idle_in_transaction_session_timeout=0"
# Several runs of pytest at once share the cache, and must not see each other in it.
CACHES["default"]["KEY_PREFIX"] = os.environ.get("PYTEST_XDIST_WORKER", "alone")
REST_FRAMEWORK["TEST_REQUEST_DEFAULT_FORMAT"] = "json"
WHITENOISE_AUTOREFRESH = True  # or each test client looks for all static files, which takes 50 ms
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
