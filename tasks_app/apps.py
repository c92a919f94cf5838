"""The application."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate, post_save, pre_migrate
from django.utils.translation import gettext_lazy as _


class TasksAppConfig(AppConfig):
    name = "tasks_app"
    verbose_name = _("Collection")

    def ready(self) -> None:
        from axes.signals import user_locked_out
        from django.contrib.auth.models import User
        from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed

        from tasks_app import checks, roles, time_zones  # noqa: F401
        from tasks_app.db import triggers
        from tasks_app.lifecycle import audit, source_settings, user_sessions
        from tasks_app.sources import registry

        registry.use_stored_settings(source_settings.texts)
        user_logged_in.connect(audit.record_sign_in)
        user_logged_in.connect(user_sessions.record_sign_in)
        user_logged_out.connect(audit.record_sign_out)
        user_login_failed.connect(audit.record_failed_sign_in)
        user_locked_out.connect(audit.record_lock)
        post_save.connect(audit.record_user_of_command, sender=User)
        user_logged_in.connect(time_zones.remember_choice)

        pre_migrate.connect(triggers.remove, sender=self)
        post_migrate.connect(triggers.install, sender=self)
        pre_migrate.connect(roles.record_existing_permissions, sender=self)
        post_migrate.connect(roles.create_groups, sender=self)
