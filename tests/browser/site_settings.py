"""The settings of the site under test: as installed, but browsers keep static files for an hour."""

from collector_site.settings import *  # noqa: F403

WHITENOISE_AUTOREFRESH = False
WHITENOISE_MAX_AGE = 3600
