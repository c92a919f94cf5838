"""Every path of the site."""

from django.contrib import admin
from django.contrib.auth.views import PasswordResetConfirmView
from django.urls import include, path, reverse_lazy
from django.views.decorators.http import require_http_methods
from django.views.generic import RedirectView

from tasks_app.api.health import LivenessView, ReadinessView
from tasks_app.api.metrics import MetricsView

admin.autodiscover()

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path(
        "accounts/set-password/<uidb64>/<token>/",
        require_http_methods(["GET", "HEAD", "POST"])(
            PasswordResetConfirmView.as_view(
                template_name="accounts/set_password.html", success_url=reverse_lazy("admin:login")
            )
        ),
        name="set_password",
    ),
    path("i18n/", include("django.conf.urls.i18n")),
    path("healthz", LivenessView.as_view(), name="healthz"),
    path("readyz", ReadinessView.as_view(), name="readyz"),
    path("metrics", MetricsView.as_view(), name="metrics"),
    path("", include("tasks_app.api.urls")),
]
handler400 = "tasks_app.api.errors.bad_request"
handler403 = "tasks_app.admin.access.forbidden.permission_denied"
handler500 = "tasks_app.api.errors.server_error"
