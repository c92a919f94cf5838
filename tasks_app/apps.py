"""The application."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate, pre_migrate
from django.utils.translation import gettext_lazy as _


class TasksAppConfig(AppConfig):
    name = "tasks_app"
    verbose_name = _("Collection")

    def ready(self) -> None:
        from tasks_app import checks, roles  # noqa: F401
        from tasks_app.db import triggers
        from tasks_app.lifecycle import source_settings
        from tasks_app.sources import registry

        registry.use_stored_settings(source_settings.texts)

        pre_migrate.connect(triggers.remove, sender=self)
        post_migrate.connect(triggers.install, sender=self)
        pre_migrate.connect(roles.record_existing_permissions, sender=self)
        post_migrate.connect(roles.create_groups, sender=self)
