"""`manage.py check` checks the pages, which only the URLs import. Nothing of the service imports pandas."""

import subprocess
import sys

from tools.worker_machine import ROOT

SCRIPT = """
import sys, django
django.setup()
from django.contrib import admin
from django.core import checks
assert not admin.site._registry, "the pages are imported by every process"
checked = []
original = admin.ModelAdmin.check
admin.ModelAdmin.check = lambda self, **options: checked.append(self.model) or original(self, **options)
checks.run_checks(tags=[checks.Tags.admin])  # without those of the URLs, which import the pages, too
assert admin.site._registry.keys() <= set(checked)
assert len(checked) > 5
import collector_site.urls
from datetime import date
from tasks_app.engine import slice
from tasks_app.market import calendars
assert len(calendars.Calendar("CN", {}).sessions(date(2024, 1, 1), date(2024, 12, 31)).days) == 242
assert "pandas" not in sys.modules
"""


def test_check_reaches_every_page_and_nothing_imports_pandas():
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
