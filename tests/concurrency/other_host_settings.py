"""The site's settings on another host, which has a name and a clock of its own.

`OTHER_HOST_NAME` is its name, `OTHER_HOST_CLOCK` by how many seconds its clock is ahead. The clock is what
Django, django-q2 and the log of simulated requests read; the database's is not touched.
"""

import os
import socket
import time
from datetime import timedelta

from django.utils import timezone

AHEAD = float(os.environ["OTHER_HOST_CLOCK"])
_now, _time = timezone.now, time.time

timezone.now = lambda: _now() + timedelta(seconds=AHEAD)
time.time = lambda: _time() + AHEAD
socket.gethostname = lambda: os.environ["OTHER_HOST_NAME"]

from collector_site.settings import *  # noqa: E402, F403
