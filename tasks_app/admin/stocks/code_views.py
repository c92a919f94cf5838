"""The page of codes: a market's aliases, changes of codes, and imports of stocks, which can be undone."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _, gettext_lazy, gettext_noop, ngettext

from tasks_app import command_lines, errors
from tasks_app.admin.access.forbidden import require_permission
from tasks_app.admin.access.permissions import CHANGE_STOCKS, UPLOAD_FILES, VIEW_STOCKS
from tasks_app.admin.common import formatting
from tasks_app.admin.common.confirmation import render_confirmation
from tasks_app.admin.common.formatting import Breadcrumb
from tasks_app.admin.stocks.code_forms import AliasForm, ChangeForm, ChangesFileForm, CodesForm, MarketForm
from tasks_app.lifecycle import audit
from tasks_app.market import code_changes, codes, stock_imports
from tasks_app.models import CodeAlias, CodeChange, Stock, StockImport
from tasks_app.models.audit import AuditVerb
from tasks_app.models.quotes import Market

EXAMPLE = "old_code,new_code,changed_on\nFB,META,2022-06-09"
SHOWN = 500  # aliases or changes; Beijing's change alone has 248
IMPORTS = 20
UNDONE = gettext_noop(
    "Stocks removed: %(removed)d; with their earlier values: %(restored)d; unchanged: %(kept)d."
)
FORMS: Mapping[str, tuple[type[CodesForm], type[Model]]] = {
    "alias": (AliasForm, CodeAlias),
    "change": (ChangeForm, CodeChange),
    "changes_file": (ChangesFileForm, CodeChange),
}


class Removal(NamedTuple):
    """What can be removed: the rows of a model, the question, what it means, and the verb's function."""

    model: type[Model]
    question: Any
    effect: Any
    confirm: Any
    remove: Callable[[Any], str]


def urls() -> list[URLPattern]:
    """Returns the path of the page, in the admin's namespace."""
    return [path("codes/", admin.site.admin_view(codes_view), name="codes")]


def codes_view(request: HttpRequest) -> HttpResponse:
    """GET lists what is known of a market's codes.

    POST with `action` alias, change or changes_file adds something; with remove_alias, remove_change or
    undo_import and a `row` it asks for confirmation, and removes that once it is `confirmed`.
    """
    require_permission(request, VIEW_STOCKS)
    if request.method != "POST":
        return _render(request)
    require_permission(request, CHANGE_STOCKS)
    action = request.POST.get("action", "")
    if action in FORMS:
        return _add(request, *FORMS[action])
    if action in REMOVALS:
        return _remove(request, REMOVALS[action])
    return redirect(_address(request))


def _add(request: HttpRequest, form_class: type[CodesForm], model: type[Model]) -> HttpResponse:
    form = form_class(request.POST, request.FILES)
    if not form.is_valid():
        return _render(request, form)
    try:
        stored = form.save()
    except (errors.CollectorError, ValueError) as error:
        form.add_error(form.main_field, str(error))
        return _render(request, form)
    _log(request, model, AuditVerb.CREATED, stored)
    messages.success(request, _("Stored: %(what)s") % {"what": stored})
    return redirect(_address(request))


def _remove(request: HttpRequest, removal: Removal) -> HttpResponse:
    row = request.POST.get("row", "")
    found: Any = removal.model._default_manager.filter(pk=int(row)).first() if row.isdecimal() else None
    if found is None:
        messages.error(request, _("That is no longer there."))
        return redirect(_address(request))
    if "confirmed" not in request.POST:
        return render_confirmation(
            admin.site.get_model_admin(Stock),
            request,
            title=removal.question,
            question=removal.question,
            objects=[found],
            effects=[removal.effect],
            confirm_label=removal.confirm,
            cancel_url=_address(request),
            breadcrumbs=[Breadcrumb(_("Codes"), reverse("admin:codes"))],
            hidden={**request.POST.dict(), "csrfmiddlewaretoken": [], "confirmed": "yes"},
            danger=False,
        )
    name = str(found)
    try:
        detail = removal.remove(found)
    except errors.CollectorError as error:
        messages.error(request, str(error))
    else:
        _log(request, removal.model, AuditVerb.DELETED, name, row=row, detail=detail)
        messages.success(request, f"{name}: {audit.translated(detail)}")
    return redirect(_address(request))


def _remove_alias(alias: CodeAlias) -> str:
    codes.remove_alias(alias.market, alias.alias)
    return audit.sentence(gettext_noop("removed"))


def _remove_change(change: CodeChange) -> str:
    code_changes.remove_change(change.market, change.old_code)
    return audit.sentence(gettext_noop("removed"))


def _undo_import(record: StockImport) -> str:
    return audit.sentence(UNDONE, **vars(stock_imports.undo(record.pk)))


REMOVALS = {
    "remove_alias": Removal(
        CodeAlias,
        gettext_lazy("Remove this alias?"),
        gettext_lazy("The text no longer stands for the code. What is stored stays."),
        gettext_lazy("Remove"),
        _remove_alias,
    ),
    "remove_change": Removal(
        CodeChange,
        gettext_lazy("Remove this change of code?"),
        gettext_lazy(
            "The new code’s bars are no longer read together with the old code’s. What is stored stays."
        ),
        gettext_lazy("Remove"),
        _remove_change,
    ),
    "undo_import": Removal(
        StockImport,
        gettext_lazy("Undo this import of stocks?"),
        gettext_lazy(
            "Stocks that it added go, those that it changed get their earlier values back. Stocks with bars, "
            "on a source’s list or changed since stay as they are."
        ),
        gettext_lazy("Undo the import"),
        _undo_import,
    ),
}


def _log(
    request: HttpRequest, model: type[Model], verb: AuditVerb, name: str, *, row: str = "", detail: str = ""
) -> None:
    subject = str(model._meta.model_name)
    audit.record_request(request, verb, subject, object_id=row, name=name, detail=detail)


def _address(request: HttpRequest) -> str:
    return f"{reverse('admin:codes')}?{urlencode({'market': _market(request)})}"


def _market(request: HttpRequest) -> str:
    return MarketForm(request.POST if request.method == "POST" else request.GET).chosen


def _render(request: HttpRequest, invalid: CodesForm | None = None) -> HttpResponse:
    market, title = _market(request), _("Codes")
    forms = {name: form(initial={"market": market}) for name, (form, _model) in FORMS.items()}
    forms |= {name: invalid for name, (form, _model) in FORMS.items() if isinstance(invalid, form)}
    context = {
        **admin.site.each_context(request),
        "title": title,
        "breadcrumbs": [Breadcrumb(title)],
        "market": market,
        "market_name": Market(market).label,
        "market_form": MarketForm(initial={"market": market}, auto_id="market-%s"),
        "forms": forms,
        "may_change": request.user.has_perm(CHANGE_STOCKS),
        "aliases": CodeAlias.objects.filter(market=market).order_by("alias")[:SHOWN],
        "changes": CodeChange.objects.filter(market=market).order_by("-changed_on", "old_code")[:SHOWN],
        "imports": list(_imports(market)),
        "example": EXAMPLE,
        "manage": command_lines.manage(),
        "uploads": reverse("admin:uploads") if request.user.has_perm(UPLOAD_FILES) else "",
    }
    return TemplateResponse(request, "admin/codes/codes.html", context)


def _imports(market: str) -> Iterator[dict[str, Any]]:
    for row in StockImport.objects.filter(market=market).order_by("-pk")[:IMPORTS]:
        count = ngettext("%(count)d stock", "%(count)d stocks", len(row.changes))
        yield {
            "pk": row.pk,
            "file": row.file,
            "at": formatting.timestamp(row.at, seconds=False),
            "stocks": count % {"count": len(row.changes)},
            "undone": formatting.timestamp(row.undone_at, seconds=False) if row.undone_at else "",
        }
