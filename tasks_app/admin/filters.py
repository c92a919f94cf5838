"""The choices beside the lists. None of them reads through a large table to find its choices."""

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.contrib.admin.views.main import SEARCH_VAR
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from tasks_app import selectors
from tasks_app.admin import show
from tasks_app.models import CollectionItem, CollectionTask, DailyBar
from tasks_app.models.quotes import Adjust
from tasks_app.sources import registry

TASK = "task__id__exact"


class SourceFilter(SimpleListFilter):
    """The sources that can be used here; one that is gone is still found by `?source=`."""

    title = _("source")
    parameter_name = "source"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Iterable[tuple[str, str]]:
        names = dict.fromkeys([*registry.available(settings.COLLECTOR), *filter(None, [self.value()])])
        return [(name, name) for name in names]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(source=self.value()) if self.value() else queryset


class TaskFilter(SimpleListFilter):
    """Items of one task, by default the newest: its index then serves whatever else is asked."""

    title = _("task")
    parameter_name = TASK
    recent = 10

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Iterable[tuple[str, Any]]:
        tasks = list(CollectionTask.objects.order_by("-start_time", "-id")[: self.recent])
        asked = asked_task(request)
        if asked and asked not in [task.pk for task in tasks]:
            tasks += CollectionTask.objects.filter(pk=asked)
        self.newest = tasks[0].pk if tasks else None
        return [(str(task.pk), f"{show.short(task.pk)} {task.market} {task.source}") for task in tasks]

    def has_output(self) -> bool:
        return True

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset.filter(task_id=self.newest)
        return queryset.filter(task_id=asked_task(request)) if asked_task(request) else queryset.none()

    def choices(self, changelist: Any) -> Iterator[Any]:
        default, *others = super().choices(changelist)
        yield {**default, "display": _("Newest")}
        yield from others


class ErrorCodeFilter(SimpleListFilter):
    """The kinds of failure that the shown task has."""

    title = _("error code")
    parameter_name = "error_code"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Iterable[tuple[str, str]]:
        newest_first = CollectionTask.objects.order_by("-start_time", "-id")
        task = asked_task(request) or newest_first.values_list("pk", flat=True).first()
        found = [group["error_code"] for group in selectors.error_groups(task)] if task else []
        return [(code, code) for code in dict.fromkeys([*found, *filter(None, [self.value()])]) if code]

    def queryset(self, request: HttpRequest, queryset: QuerySet[CollectionItem]) -> QuerySet[CollectionItem]:
        return queryset.filter(error_code=self.value()) if self.value() else queryset


class AdjustFilter(SimpleListFilter):
    """The adjustment, offered beside a code: for all codes at once no index serves it."""

    title = _("adjustment")
    parameter_name = "adjust__exact"
    as_sent = "none"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Iterable[tuple[str, Any]]:
        self.offered = bool(request.GET.get(SEARCH_VAR, "").strip() or self.value())
        return [(value or self.as_sent, name) for value, name in Adjust.choices]

    def has_output(self) -> bool:
        return self.offered

    def queryset(self, request: HttpRequest, queryset: QuerySet[DailyBar]) -> QuerySet[DailyBar]:
        if not self.value():
            return queryset
        return queryset.filter(adjust="" if self.value() == self.as_sent else self.value())


def asked_task(request: HttpRequest) -> UUID | None:
    """The task that the address names, None when there is none or it is malformed."""
    try:
        return UUID(request.GET.get(TASK, ""))
    except ValueError:
        return None
