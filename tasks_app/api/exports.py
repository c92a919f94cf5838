"""Exports as jobs of the workers: started, watched and cancelled."""

from rest_framework.request import Request
from rest_framework.response import Response

from tasks_app.api import bodies, queries
from tasks_app.api.fields import validated, validated_query
from tasks_app.api.openapi import plans as openapi
from tasks_app.api.pagination import page_response
from tasks_app.api.request_data import get_actor
from tasks_app.api.viewsets import BrowsableViewSet
from tasks_app.exports import jobs
from tasks_app.exports.choice import choose
from tasks_app.exports.places import named_folder
from tasks_app.models import Export


class ExportViewSet(BrowsableViewSet):
    """Exports into folders below COLLECTOR_EXPORT_DIR, and all others to be watched."""

    @openapi.EXPORTS
    def list(self, request: Request) -> Response:
        filters = validated_query(queries.ExportQuery, request)
        rows = Export.objects.filter(**filters)
        return page_response(request, rows, ["-id"], lambda page: [jobs.describe(row) for row in page])

    @openapi.START_EXPORT
    def create(self, request: Request) -> Response:
        values = validated(bodies.ExportBody, request.data)
        folder = named_folder(values.pop("folder"))
        export = jobs.start(folder, choose(**values), get_actor(request))
        export.refresh_from_db()  # the times are the database's
        return Response(jobs.describe(export))

    @openapi.EXPORT
    def retrieve(self, request: Request, export_id: str) -> Response:
        return Response(jobs.describe(jobs.get_export(export_id)))

    @openapi.CANCEL_EXPORT
    def destroy(self, request: Request, export_id: str) -> Response:
        export = jobs.get_export(export_id)
        jobs.cancel(export.pk, get_actor(request))
        return Response(jobs.describe(jobs.get_export(export_id)))
