"""Where users are signed in."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class UserSession(models.Model):
    """A session in which a user is signed in: since when, from which address and browser, when seen last.

    Django's own table of sessions knows neither. A row goes with its session; its key is in no address.
    """

    session = models.OneToOneField("sessions.Session", models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    signed_in_at = models.DateTimeField(db_default=Now(), editable=False)
    seen_at = models.DateTimeField(null=True, editable=False)
    address = models.CharField(max_length=45, blank=True)
    user_agent = models.CharField(max_length=300, blank=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.user_id} {self.address}"
