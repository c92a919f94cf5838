"""Filters of the lists. None of them scans a large table to find its choices."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.admin import ListFilter, ModelAdmin, SimpleListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import SEARCH_VAR
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tasks_app import reasons
from tasks_app.admin.common import formatting
from tasks_app.lifecycle import selectors
from tasks_app.models import CollectionItem, CollectionTask, DailyBar, Stock
from tasks_app.models.quotes import Adjust
from tasks_app.quotes import summary
from tasks_app.sources import registry

TASK_PARAMETER = "task__id__exact"


class SourceFilter(SimpleListFilter):
    """The configured sources; rows of a removed one are still found by `?source=`."""

    title = _("source")
    parameter_name = "source"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Iterable[tuple[str, str]]:
        names = dict.fromkeys([*registry.available(settings.COLLECTOR), *filter(None, [self.value()])])
        return [(name, name) for name in names]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(source=self.value()) if self.value() else queryset


class TaskFilter(SimpleListFilter):
    """Items of one task, by default the newest: an index by task then serves the other filters."""

    title = _("task")
    parameter_name = TASK_PARAMETER
    recent = 10

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Iterable[tuple[str, Any]]:
        tasks = list(CollectionTask.objects.order_by("-start_time", "-id")[: self.recent])
        selected = task_from_query(request)
        if selected and selected not in [task.pk for task in tasks]:
            tasks += CollectionTask.objects.filter(pk=selected)
        self.newest = tasks[0].pk if tasks else None
        return [
            (str(task.pk), f"{formatting.short_id(task.pk)} {task.market} {task.source}") for task in tasks
        ]

    def has_output(self) -> bool:
        return True

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset.filter(task_id=self.newest)
        task = task_from_query(request)
        return queryset.filter(task_id=task) if task else queryset.none()

    def choices(self, changelist: Any) -> Iterator[Any]:
        default, *others = super().choices(changelist)
        yield {**default, "display": _("Newest")}
        yield from others


class ItemTaskFilter(TaskFilter):
    """Rows that belong to an item, of one task or, by default, of all."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        task = task_from_query(request)
        return queryset.filter(item__task_id=task) if task else queryset.none()

    def choices(self, changelist: Any) -> Iterator[Any]:
        return SimpleListFilter.choices(self, changelist)


class ErrorCodeFilter(SimpleListFilter):
    """The reasons of failures that occur in the shown task."""

    title = _("reason")
    parameter_name = "error_code"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Iterable[tuple[str, str]]:
        newest_first = CollectionTask.objects.order_by("-start_time", "-id")
        task = task_from_query(request) or newest_first.values_list("pk", flat=True).first()
        codes = [group["error_code"] for group in selectors.error_groups(task)] if task else []
        return [
            (code, reasons.meaning(code))
            for code in dict.fromkeys([*codes, *filter(None, [self.value()])])
            if code
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[CollectionItem]) -> QuerySet[CollectionItem]:
        return queryset.filter(error_code=self.value()) if self.value() else queryset


class RequiresCodeFilter(ListFilter):
    """A filter that an index serves only within one code. Without a search it is hidden and finds nothing."""

    def __init__(self, request: HttpRequest, *args: Any) -> None:
        super().__init__(request, *args)
        self.has_code = bool(request.GET.get(SEARCH_VAR, "").strip())

    def has_output(self) -> bool:
        return self.has_code or bool(self.used_parameters)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.used_parameters and not self.has_code:
            return queryset.none()
        narrowed: QuerySet[Any] = super().queryset(request, queryset)  # type: ignore[assignment]
        return narrowed


class _SelectFilter(SimpleListFilter):
    """A filter as a select field, which takes fewer bytes than a link for each choice."""

    template = "admin/tasks_app/select.html"

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Yields the options, and the search and the other filters that the form keeps."""
        selected = self.value() or ""
        options = [("", _("All")), *((str(value), text) for value, text in self.lookup_choices)]
        yield {
            "name": self.parameter_name,
            "options": [(value, text, value == selected) for value, text in options],
            "others": [
                (name, value)
                for name, values in changelist.filter_params.items()
                for value in values
                if name != self.parameter_name
            ],
        }


class _AdjustFilter(SimpleListFilter):
    title = _("adjustment")
    parameter_name = "adjust__exact"
    unadjusted = "none"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Iterable[tuple[str, Any]]:
        return [(value or self.unadjusted, name) for value, name in Adjust.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[DailyBar]) -> QuerySet[DailyBar]:
        if not self.value():
            return queryset
        return queryset.filter(adjust="" if self.value() == self.unadjusted else self.value())


class AdjustFilter(RequiresCodeFilter, _SelectFilter, _AdjustFilter):
    """The adjustment of a code's bars; needs a search for the code."""


class BarSourceFilter(RequiresCodeFilter, _SelectFilter, SourceFilter):
    """The source of a code's bars; needs a search for the code."""


class BarTaskFilter(RequiresCodeFilter, _SelectFilter, ItemTaskFilter):
    """The task that stored a code's bars: a newest one or the address's; needs a search for the code."""


class PeriodFilter(ListFilter, ABC):
    """A range of days, both ends included and optional."""

    template = "admin/tasks_app/period.html"
    title = _("period")
    parameters = ("since", "until")

    def __init__(
        self, request: HttpRequest, params: dict[str, Any], model: type[Model], model_admin: ModelAdmin[Any]
    ) -> None:
        super().__init__(request, params, model, model_admin)
        values = {name: params.pop(name)[-1] for name in self.parameters if name in params}
        self.used_parameters = {name: value for name, value in values.items() if value}

    def expected_parameters(self) -> list[str | None]:
        return [*self.parameters]

    def has_output(self) -> bool:
        return True

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        since, until = (self._day(name) for name in self.parameters)
        return self.between(queryset, since, until)

    @abstractmethod
    def between(self, queryset: QuerySet[Any], since: date | None, until: date | None) -> QuerySet[Any]:
        """Returns the rows of these days, by the filter's own column."""

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Yields the fields of the filter's form, and the other filters that the form keeps."""
        others = [(name, value) for name, values in changelist.filter_params.items() for value in values]
        yield {
            "days": [
                ("since", _("From"), self.used_parameters.get("since", "")),
                ("until", _("To"), self.used_parameters.get("until", "")),
            ],
            "others": [(name, value) for name, value in others if name not in self.parameters],
            "clear": changelist.get_query_string(remove=[*self.parameters]) if self.used_parameters else "",
        }

    def _day(self, name: str) -> date | None:
        text = self.used_parameters.get(name)
        try:
            return date.fromisoformat(str(text)) if text else None
        except ValueError as error:
            raise IncorrectLookupParameters(error) from error


class StartedFilter(PeriodFilter):
    """Tasks by start date, in the site's time zone."""

    title = _("start date")

    def between(self, queryset: QuerySet[Any], since: date | None, until: date | None) -> QuerySet[Any]:
        if since:
            queryset = queryset.filter(start_time__gte=_midnight(since))
        return queryset.filter(start_time__lt=_midnight(until, after=True)) if until else queryset


class _DayFilter(PeriodFilter):
    title = _("day")

    def between(self, queryset: QuerySet[Any], since: date | None, until: date | None) -> QuerySet[Any]:
        queryset = queryset.filter(day__gte=since) if since else queryset
        return queryset.filter(day__lte=until) if until else queryset


class DayFilter(RequiresCodeFilter, _DayFilter):
    """The days of a code's bars; needs a search for the code."""


class StoredFilter(SimpleListFilter):
    """Stocks that are behind the market, or without bars, under all adjustments; `behind:qfq`: under one."""

    title = _("stored bars")
    parameter_name = "stored"
    kinds = {
        "behind": (_("behind the market"), summary.is_behind),
        "empty": (_("nothing stored"), summary.is_empty),
    }

    @staticmethod
    def value_for(kind: str, adjust: str) -> str:
        return f"{kind}:{adjust or _AdjustFilter.unadjusted}"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Iterable[tuple[str, Any]]:
        names: list[tuple[str, Any]] = [(kind, name) for kind, (name, _filter) in self.kinds.items()]
        kind, adjust = self._selected()
        if kind and adjust is not None:  # a link of the overview: shown while it is used
            names.append((str(self.value()), f"{self.kinds[kind][0]}, {Adjust(adjust).label}"))
        return names

    def queryset(self, request: HttpRequest, queryset: QuerySet[Stock]) -> QuerySet[Stock]:
        kind, adjust = self._selected()
        return queryset.filter(self.kinds[kind][1](adjust)) if kind else queryset

    def _selected(self) -> tuple[str, str | None]:
        """Returns the kind, "" for an unknown one, and the adjustment, None for all of them."""
        kind, _colon, name = (self.value() or "").partition(":")
        adjust = "" if name == _AdjustFilter.unadjusted else name or None
        is_known = kind in self.kinds and (adjust is None or adjust in Adjust.values)
        return (kind, adjust) if is_known else ("", None)


class ListingFilter(SimpleListFilter):
    """Stocks that are listed, or delisted."""

    title = _("listing")
    parameter_name = "listing"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Iterable[tuple[str, Any]]:
        return [("listed", _("listed")), ("delisted", _("delisted"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Stock]) -> QuerySet[Stock]:
        wanted = {"listed": True, "delisted": False}.get(self.value() or "")
        return queryset if wanted is None else queryset.filter(delisted_on__isnull=wanted)


def _midnight(day: date, *, after: bool = False) -> datetime:
    """Returns the beginning of the day, or of the next one with `after`."""
    try:
        return timezone.make_aware(datetime.combine(day + timedelta(days=after), time.min))
    except OverflowError as error:
        raise IncorrectLookupParameters(error) from error


def task_from_query(request: HttpRequest) -> UUID | None:
    """Returns the task id in the query string; None if it is missing or malformed."""
    try:
        return UUID(request.GET.get(TASK_PARAMETER, ""))
    except ValueError:
        return None
