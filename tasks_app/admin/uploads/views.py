"""The pages that upload files of quotes, show what would be taken of them, and take them over."""

from collections.abc import Callable
from pathlib import Path
from typing import cast
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _, gettext_noop
from django.views.decorators.csrf import csrf_exempt, csrf_protect

from tasks_app.admin.access.forbidden import require_permission
from tasks_app.admin.access.permissions import START_TASK, UPLOAD_FILES
from tasks_app.admin.common.formatting import Breadcrumb
from tasks_app.admin.uploads import presentation
from tasks_app.admin.uploads.forms import UploadForm
from tasks_app.lifecycle import audit
from tasks_app.models import Upload
from tasks_app.models.audit import AuditVerb
from tasks_app.models.uploads import UPLOAD_ENDS, UploadState
from tasks_app.orders.order import latest_today
from tasks_app.quotes import uploads
from tasks_app.quotes.uploads import UploadError, UploadFolder
from tasks_app.sentences import join_sentences

TAKEN = gettext_noop("Taken over as %(path)s. Bars: %(bars)s, rows left out: %(left)s.")
REPLACED = gettext_noop(
    "Taken over as %(path)s, in place of any earlier file. Bars: %(bars)s, rows left out: %(left)s."
)
SECONDS = 2.0  # of checking in one request; the page asks for more
SHOWN = 50  # of the files that were taken over or discarded
MAX_WAITING = 200
CHUNK, DRAIN_CHUNKS = 65_536, 160  # of a body that is too large: read and thrown away
FORM_BYTES = 65_536  # of the fields beside the files


EXAMPLE = (
    "code,date,open,high,low,close,volume(shares)\n"
    "600000,2024-01-02,6.63,6.68,6.60,6.62,21362400\n"
    "000001,2024-01-02,9.39,9.42,9.21,9.21,115835200"
)


def urls() -> list[URLPattern]:
    """Returns the paths of the pages, in the admin's namespace."""
    wrap = admin.site.admin_view
    return [
        path("uploads/", wrap(uploads_view), name="uploads"),
        path("uploads/<int:pk>/", wrap(upload_view), name="upload"),
        path("uploads/<int:pk>/check/", wrap(check_view), name="upload_check"),
    ]


@csrf_exempt  # of Django's middleware only, which would read the whole body before its size is looked at
def uploads_view(request: HttpRequest) -> HttpResponse:
    """GET shows the form and the files. POST takes files; a script that sends them gets JSON."""
    require_permission(request, UPLOAD_FILES)
    if request.method == "POST" and (sentence := _body_problem(request)):
        return _upload_response(request, 413, sentence)
    return _uploads_view(request)


@csrf_protect
def _uploads_view(request: HttpRequest) -> HttpResponse:
    if request.method != "POST" or not settings.COLLECTOR.csv_dir:
        return _render_list(request, UploadForm())
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        if _is_script(request):
            return _upload_response(
                request, 400, join_sentences(*(e for each in form.errors.values() for e in each))
            )
        return _render_list(request, form)
    staged = _stage(request, form)
    if len(staged) == 1:
        return _upload_response(request, 200, url=reverse("admin:upload", args=[staged[0].pk]))
    return _upload_response(request, 200, url=reverse("admin:uploads"))


def upload_view(request: HttpRequest, pk: int) -> HttpResponse:
    """GET shows what would be taken of a file. POST with `action` names its columns, takes or discards it."""
    require_permission(request, UPLOAD_FILES)
    upload = _get(pk)
    actions: dict[str, Callable[[HttpRequest, UploadFolder, Upload], bool]] = {
        "columns": _name_columns,
        "take": _take,
        "discard": _discard,
    }
    if request.method == "POST" and (act := actions.get(request.POST.get("action", ""))):
        try:
            stays = act(request, UploadFolder(settings.COLLECTOR), upload)
        except UploadError as error:
            messages.error(request, str(error))
            stays = True
        return redirect("admin:upload", pk) if stays else redirect("admin:uploads")
    return _render_upload(request, upload)


def check_view(request: HttpRequest, pk: int) -> HttpResponse:
    """POST checks a file for some seconds. A script gets JSON: how much of it is done."""
    require_permission(request, UPLOAD_FILES)
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    upload = _get(pk)
    report = UploadFolder(settings.COLLECTOR).check(upload, latest_today(), SECONDS)
    if not _is_script(request):
        return redirect("admin:upload", pk)
    is_done = upload.state != UploadState.CHECKING
    return JsonResponse({"done": report.done, "total": report.total, "is_done": is_done})


def _get(pk: int) -> Upload:
    upload = Upload.objects.filter(pk=pk).first() if settings.COLLECTOR.csv_dir and pk < 2**63 else None
    if upload is None:
        raise Http404
    return upload


def _user(request: HttpRequest) -> User:
    return cast(User, request.user)  # who has the permission is signed in


def _body_problem(request: HttpRequest) -> str:
    """Returns why a body is not read, "" if it is. Reads a part of it: its sender must see the response."""
    try:
        size = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return ""  # Django then reads nothing
    limit = settings.COLLECTOR.csv_upload_mb
    if size <= limit * presentation.MEGABYTE + FORM_BYTES:
        return ""
    for _chunk in range(DRAIN_CHUNKS):
        if not request.read(CHUNK):
            break
    return _too_large()


def _too_large() -> str:
    text = _("The files are larger than %(limit)d MB in all (COLLECTOR_CSV_UPLOAD_MB).")
    return text % {"limit": settings.COLLECTOR.csv_upload_mb}


def _is_script(request: HttpRequest) -> bool:
    return request.headers.get("X-Requested-With") == "XMLHttpRequest"


def _upload_response(request: HttpRequest, status: int, problem: str = "", url: str = "") -> HttpResponse:
    if _is_script(request):
        return JsonResponse({"problem": problem, "url": url}, status=status)
    if problem:
        messages.error(request, problem)
        return _render_list(request, UploadForm(), status=status)
    return redirect(url)


def _stage(request: HttpRequest, form: UploadForm) -> list[Upload]:
    """Stores the files, and adds a message for each that is not stored. Returns the others."""
    folder, staged = UploadFolder(settings.COLLECTOR), []
    market, adjust = form.cleaned_data["market"], form.cleaned_data["adjust"]
    for file in form.cleaned_data["file"]:
        name, size = file.name or "", file.size or 0
        try:
            upload = folder.stage(
                name, size, file.chunks(), market=market, adjust=adjust, user=_user(request)
            )
        except UploadError as error:
            messages.error(request, str(error))
            continue
        _log(request, upload, AuditVerb.CREATED, audit.sentence(gettext_noop("Uploaded.")))
        staged.append(upload)
    return staged


def _name_columns(request: HttpRequest, folder: UploadFolder, upload: Upload) -> bool:
    table = folder.read_table(upload)
    if table is None:
        return True
    known = folder.meanings_of(table)
    meanings = {}
    for column in presentation.describe_columns(table, known):
        heading, posted = table.header[column["place"]].strip(), request.POST.get(f"column-{column['place']}")
        # What stays as it is read anyway is not named: its heading may tell more, such as a unit.
        if posted is not None and (heading in known or posted != column["chosen"]):
            meanings[heading] = posted
    folder.name_columns(upload, meanings, _user(request))
    listed = ", ".join(f"{heading} = {meaning}" for heading, meaning in meanings.items())
    text = audit.sentence(gettext_noop("Meanings of columns: %(meanings)s"), meanings=listed)
    _log(request, upload, AuditVerb.CHANGED, text)
    messages.success(request, _("The columns are remembered for all files with these headings."))
    return True


def _take(request: HttpRequest, folder: UploadFolder, upload: Upload) -> bool:
    replaces = request.POST.get("replace") == "yes"
    report = uploads.report_of(upload)
    where = folder.take(upload, replace_existing=replaces)
    facts = {"path": str(where), "bars": f"{report.bars:,}", "left": f"{report.left_out:,}"}
    text = audit.sentence(REPLACED if replaces else TAKEN, **facts)
    _log(request, upload, AuditVerb.CHANGED, text)
    next_step = _("The next collection from the source csv reads it.")
    messages.success(request, join_sentences(audit.translated(text), next_step))
    return True


def _discard(request: HttpRequest, folder: UploadFolder, upload: Upload) -> bool:
    folder.discard(upload)
    _log(request, upload, AuditVerb.DELETED, audit.sentence(gettext_noop("Discarded.")))
    messages.success(request, _("%(name)s was discarded.") % {"name": upload.name})
    return False


def _log(request: HttpRequest, upload: Upload, verb: AuditVerb, message: str) -> None:
    audit.record_request(request, verb, "upload", object_id=upload.pk, name=upload.name, detail=message)


def _render_list(request: HttpRequest, form: UploadForm, status: int = 200) -> HttpResponse:
    title = _("Upload files")
    waiting = Upload.objects.exclude(state__in=UPLOAD_ENDS).order_by("-pk")[:MAX_WAITING]
    ended = Upload.objects.filter(state__in=UPLOAD_ENDS).order_by("-ended_at", "-pk")[:SHOWN]
    context = {
        **admin.site.each_context(request),
        "title": title,
        "breadcrumbs": [Breadcrumb(title)],
        "form": form,
        "example": EXAMPLE,
        "folder": settings.COLLECTOR.csv_dir,
        "limit": settings.COLLECTOR.csv_upload_mb,
        "limit_bytes": settings.COLLECTOR.csv_upload_mb * presentation.MEGABYTE,
        "too_large": _too_large(),
        "waiting": [presentation.describe_row(upload) for upload in waiting],
        "ended": [presentation.describe_row(upload) for upload in ended],
    }
    return TemplateResponse(request, "admin/uploads/uploads.html", context, status=status)


def _render_upload(request: HttpRequest, upload: Upload) -> HttpResponse:
    folder, report = UploadFolder(settings.COLLECTOR), uploads.report_of(upload)
    is_waiting = upload.state not in UPLOAD_ENDS
    table = folder.read_table(upload) if is_waiting else None
    meanings = folder.meanings_of(table) if table else {}
    target = folder.target_of(upload)
    context = {
        **admin.site.each_context(request),
        "title": upload.name,
        "breadcrumbs": [Breadcrumb(_("Upload files"), reverse("admin:uploads")), Breadcrumb(upload.name)],
        "upload": upload,
        "row": presentation.describe_row(upload),
        "report": presentation.describe_report(report),
        "progress": report,
        "is_checking": upload.state == UploadState.CHECKING,
        "is_waiting": is_waiting,
        "can_take": upload.state == UploadState.CHECKED and bool(report.bars),
        "columns": presentation.describe_columns(table, meanings) if table else [],
        "columns_open": not report.bars or bool(meanings),
        "exists": is_waiting and target.exists(),
        "target": Path(target).relative_to(folder.folder),
        "start_url": f"{reverse('admin:start')}?{urlencode(presentation.start_values(upload, report))}"
        if upload.state == UploadState.TAKEN and request.user.has_perm(START_TASK)
        else "",
    }
    return TemplateResponse(request, "admin/uploads/upload.html", context)
