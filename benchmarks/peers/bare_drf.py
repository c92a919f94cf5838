"""A minimal REST framework view of a task: a ModelSerializer without middleware or authentication."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "collector_site.settings")

from django.conf import settings
from django.core.wsgi import get_wsgi_application

settings.MIDDLEWARE = []
settings.ROOT_URLCONF = __name__
settings.DEBUG = False
application = get_wsgi_application()

from django.urls import path  # noqa: E402
from rest_framework.generics import RetrieveAPIView  # noqa: E402
from rest_framework.renderers import JSONRenderer  # noqa: E402
from rest_framework.serializers import ModelSerializer  # noqa: E402

from tasks_app.models import CollectionTask  # noqa: E402


class TaskSerializer(ModelSerializer[CollectionTask]):
    class Meta:
        model = CollectionTask
        fields = (
            "id",
            "status",
            "total_stocks",
            "processed_stocks",
            "success_count",
            "failed_count",
            "collected_count",
            "skipped_count",
            "start_time",
            "end_time",
            "error_message",
        )


class TaskView(RetrieveAPIView[CollectionTask]):
    queryset = CollectionTask.objects.all()
    serializer_class = TaskSerializer
    authentication_classes = ()
    permission_classes = ()
    renderer_classes = (JSONRenderer,)


urlpatterns = [path("api/data-collection/status/<uuid:pk>", TaskView.as_view())]
