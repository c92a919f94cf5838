"""The staff pages. They show tasks, items and quotes, and start, cancel and retry tasks.

Importing this package registers them all. No page edits the state of a task.
"""

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_lazy as _, gettext_noop

from tasks_app.admin import queue, raw_answers, search
from tasks_app.admin.access import my_tokens, preferences, sessions, tokens, users
from tasks_app.admin.audit import views as audit_views
from tasks_app.admin.calendar import views as calendar_views
from tasks_app.admin.common import side_bar
from tasks_app.admin.common.formatting import EMPTY
from tasks_app.admin.coverage import views as coverage_views
from tasks_app.admin.dashboard import views as dashboard_views
from tasks_app.admin.deletion import views as deletion_views
from tasks_app.admin.exports import views as export_views
from tasks_app.admin.notices import channels as notice_channels, incidents
from tasks_app.admin.plans import admin as plan_admin
from tasks_app.admin.sources import views as source_views
from tasks_app.admin.start import views as start_views
from tasks_app.admin.stocks import admin as stock_admin, bars, code_views, corrections
from tasks_app.admin.system import views as system_views
from tasks_app.admin.targets import admin as target_admin, views as target_views
from tasks_app.admin.tasks import admin as task_admin, items
from tasks_app.admin.uploads import views as upload_views

__all__ = [
    "audit_views",
    "bars",
    "calendar_views",
    "code_views",
    "corrections",
    "coverage_views",
    "dashboard_views",
    "deletion_views",
    "export_views",
    "incidents",
    "items",
    "my_tokens",
    "notice_channels",
    "plan_admin",
    "preferences",
    "queue",
    "raw_answers",
    "sessions",
    "source_views",
    "start_views",
    "stock_admin",
    "system_views",
    "target_admin",
    "target_views",
    "task_admin",
    "tokens",
    "upload_views",
    "users",
]

# django-q2 registers its tables: a job that is edited by hand could run twice, or never.
for model in apps.get_app_config("django_q").get_models():
    if admin.site.is_registered(model):
        admin.site.unregister(model)

admin.site.index_title = _("Overview")
admin.site.empty_value_display = EMPTY
# The theme's site takes further paths here, into the admin's own namespace.
site: Any = admin.site
PAGES = (
    coverage_views,
    *(dashboard_views, start_views, upload_views, deletion_views, calendar_views, code_views, source_views),
    *(export_views, audit_views, my_tokens, sessions, preferences, system_views, incidents, target_views),
)
# The theme's own knows tables only, and keeps results for five minutes without regard to the language.
site.search = search.search_view
site.extra_urls = lambda: [url for page in PAGES for url in page.urls()]
site.get_sidebar_list = side_bar.sections
# Every page asks for this list, which takes an eighth of a page's time, but only an app's own page shows it.
app_list = site.get_app_list
site.get_app_list = lambda request, app_label=None: (
    app_list(request, app_label) if app_label else SimpleLazyObject(lambda: app_list(request))
)
# Django's own; in its Chinese a name stands between spaces, and a first step is "another" one.
gettext_noop("Add another %(verbose_name)s")
gettext_noop("%(app)s administration")
gettext_noop("Apply filters")  # the theme translates it from a variable, which extraction does not see
