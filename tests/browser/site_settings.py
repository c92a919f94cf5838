"""The settings of the site under test: as installed, but browsers keep static files for an hour.

One process serves it: a second one would compile every template once more. Passwords are hashed once only: as
installed it takes half a second of processor time, for the seed, for quickstart and at a sign-in.
"""

from collector_site.settings import *  # noqa: F403
from tasks_app.management import web_server

WHITENOISE_AUTOREFRESH = False
WHITENOISE_MAX_AGE = 3600
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
web_server.WORKERS = 1
