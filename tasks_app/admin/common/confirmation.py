"""The page that asks for confirmation before an action is carried out."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib.admin import ModelAdmin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from tasks_app.admin.common.formatting import Breadcrumb


def render_confirmation(
    admin: ModelAdmin[Any],
    request: HttpRequest,
    *,
    title: Any,
    question: Any,
    objects: Iterable[Any],
    effects: Iterable[Any],
    confirm_label: Any,
    cancel_url: str,
    cancel_label: Any = "",
    breadcrumbs: Iterable[Breadcrumb] = (),
    hidden: Mapping[str, Any] | None = None,
    danger: bool = True,
    obstacle: str = "",
) -> HttpResponse:
    """Returns a page with the question, the objects that the action is about, and its effects.

    The way back is called "Back" unless `cancel_label` names what stays as it is.
    Confirming posts the `hidden` fields, whose values may be lists, to the page's own URL. It is disabled by
    an `obstacle`, which says why.
    """
    fields = (hidden or {}).items()
    context = {
        **admin.admin_site.each_context(request),
        "title": title,
        "question": question,
        "objects": list(objects),
        "effects": list(effects),
        "confirm_label": confirm_label,
        "cancel_url": cancel_url,
        "cancel_label": cancel_label,
        "breadcrumbs": [*breadcrumbs, Breadcrumb(title)],
        "hidden": {name: value if isinstance(value, list) else [value] for name, value in fields},
        "danger": danger,
        "obstacle": obstacle,
        "media": admin.media,
    }
    return TemplateResponse(request, "admin/tasks_app/confirm.html", context)
