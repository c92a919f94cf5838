"""The queue's own tables are not for hands: a job altered there could run twice, or never."""

from django.apps import apps
from django.contrib import admin


def hide(app_label: str) -> None:
    """Take all models of the app off the staff pages."""
    for model in apps.get_app_config(app_label).get_models():
        if admin.site.is_registered(model):
            admin.site.unregister(model)


hide("django_q")
