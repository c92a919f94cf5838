"""What browsable pages of the API show around the answer."""

from collections.abc import Mapping

from django.urls import reverse
from rest_framework.viewsets import ViewSet

from tasks_app.api.verbs import Verb


class BrowsableViewSet(ViewSet):
    """A viewset whose paths say in `urls` what their browsable pages show."""

    verbs: Mapping[str, Verb] = {}
    staff_page = ""  # the name of the admin's page of the same things

    def staff_path(self) -> str:
        """Returns the path of the admin's page of the same things, "" if there is none."""
        if not self.staff_page:
            return ""
        arguments = list(self.kwargs.values()) if self.staff_page.endswith("_change") else []
        return reverse(f"admin:{self.staff_page}", args=arguments)
