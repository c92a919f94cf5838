"""Lines of the log: their formats, and the request's id from the site to the task's slices."""

import json
import logging
import re
import sys
from datetime import datetime
from io import StringIO

import pytest
from django.http import HttpResponse
from django.test import RequestFactory
from gunicorn.config import Config

from collector_site.gunicorn_logs import Logger
from collector_site.request_logs import RequestLogMiddleware
from tasks_app import logs
from tasks_app.api import errors
from tasks_app.engine import slice as slices
from tasks_app.engine.call_pool import CallPool
from tasks_app.lifecycle.events import WORKER, record_event
from tasks_app.models import TaskEvent
from tasks_app.models.events import EventKind
from tasks_app.source_settings import MASK, remember_secret
from tests.factories import make_task, make_user

ID = "4f9c-of_the.proxy"


def record(message="it is %s", *args, **extra):
    made = logging.LogRecord("tasks_app.some", logging.WARNING, "f", 1, message, args, None)
    made.__dict__.update(extra)
    return made


def test_line_of_text_has_its_fields_and_the_time_with_its_offset():
    with logs.bind(task_id="t1", plan=""), logs.bind(code="600000"):
        line = logs.formatter("text").format(record("it is %s", "odd"))
    time, rest = line.split(" ", 1)
    assert datetime.fromisoformat(time).utcoffset() is not None
    assert rest == "WARNING tasks_app.some it is odd task_id=t1 code=600000"


def test_line_of_json_is_an_object_with_its_fields():
    with logs.bind(task_id="t1"):
        line = logs.formatter("json").format(record("it is %s", "odd", status=404, request=object()))
    found = json.loads(line)
    assert datetime.fromisoformat(found.pop("time")).utcoffset() is not None
    assert found.pop("host")
    assert found == {
        "level": "WARNING",
        "logger": "tasks_app.some",
        "message": "it is odd",
        "task_id": "t1",
        "process": found["process"],
        "status": 404,
    }


def test_line_of_json_has_its_traceback():
    try:
        raise ValueError("no\nline")
    except ValueError:
        made = record("it failed")
        made.exc_info = sys.exc_info()
    found = json.loads(logs.formatter("json").format(made))
    assert found["exception"].endswith("ValueError: no\nline")


def test_fields_are_gone_afterwards():
    with pytest.raises(ValueError, match="odd"), logs.bind(task_id="t1"):
        assert logs.bound("task_id") == "t1"
        raise ValueError("odd")
    assert logs.bound("task_id") == ""


def test_thread_of_a_call_has_the_fields_of_its_slice():
    calls = CallPool(60.0)
    with logs.bind(task_id="t1"):
        calls.submit("key", lambda: logs.bound("task_id"))
    assert calls.next(60.0).result == "t1"


def test_lines_of_gunicorn_have_the_format(monkeypatch, capsys):
    monkeypatch.setenv("COLLECTOR_LOG_FORMAT", "json")
    Logger(Config()).error_log.warning("a worker is late")
    assert json.loads(capsys.readouterr().err)["message"] == "a worker is late"
    for name in ("gunicorn.error", "gunicorn.access"):
        logging.getLogger(name).handlers.clear()


@pytest.mark.parametrize("given", [ID, "", "short", "with space in it", "x" * 65, "line\nbreak-of-a-forger"])
def test_request_id_is_taken_if_it_is_sane(given):
    bound = []

    def respond(request):
        bound.append(logs.bound("request_id"))
        return HttpResponse()

    response = RequestLogMiddleware(respond)(RequestFactory().get("/", HTTP_X_REQUEST_ID=given))
    assert bound == [response["X-Request-ID"]]
    assert re.fullmatch(ID if given == ID else "[0-9a-f]{32}", bound[0])


@pytest.mark.parametrize(
    ("method", "status", "level"),
    [("GET", 200, "DEBUG"), ("GET", 404, "INFO"), ("POST", 200, "INFO"), ("DELETE", 400, "INFO")],
)
def test_requests_that_change_or_are_refused_are_logged_at_info(caplog, method, status, level):
    request = RequestFactory().generic(method, "/api/x?token=in-the-query")
    with caplog.at_level("DEBUG", "tasks_app.requests"):
        RequestLogMiddleware(lambda _: HttpResponse(status=status))(request)
    (line,) = caplog.records
    assert (line.levelname, line.status, line.path) == (level, status, "/api/x")
    assert "in-the-query" not in line.getMessage()


@pytest.mark.django_db
def test_event_has_the_id_of_its_request_and_is_logged_after_the_commit(
    caplog, django_capture_on_commit_callbacks
):
    task = make_task()
    with caplog.at_level("INFO"), logs.bind(request_id=ID):
        with django_capture_on_commit_callbacks(execute=True):
            record_event(task.pk, EventKind.WARNED, WORKER)
            assert not caplog.records
        assert [line.getMessage() for line in caplog.records] == ["task warned by worker"]
    assert TaskEvent.objects.get(task=task, kind=EventKind.WARNED).request_id == ID


@pytest.mark.django_db
def test_slice_has_the_id_of_the_request_that_started_the_task(monkeypatch):
    with logs.bind(request_id=ID):
        task = make_task()
    seen = {}
    monkeypatch.setattr(slices.source_availability, "require_source", lambda lane: seen.update(fields()))
    lane = task.lanes.order_by("number").first()
    slices.run(str(task.pk), lane.number, lane.generation)
    assert seen == {
        "task_id": str(task.pk),
        "slice": f"{lane.number}/{lane.generation}",
        "request_id": ID,
    }


def fields():
    return {name: logs.bound(name) for name in ("task_id", "slice", "request_id")}


@pytest.mark.django_db
def test_start_by_a_request_stores_its_id(client):
    client.force_login(make_user("ann", "start_task"))
    body = {"start_date": "2024-01-02", "end_date": "2024-01-05", "market": "US", "stock_codes": ["AAPL"]}
    path, headers = "/api/data-collection/historical", {"X-Request-ID": ID}
    response = client.post(path, body, content_type="application/json", headers=headers)
    assert (response.status_code, response["X-Request-ID"]) == (200, ID)
    events = TaskEvent.objects.filter(task=response.json()["task_id"])
    assert set(events.values_list("request_id", flat=True)) == {ID}


def test_error_of_the_server_tells_the_id():
    bug = RequestFactory()
    with logs.bind(request_id=ID):
        page, body = (errors.server_error(bug.get(path)) for path in ("/admin/", "/api/x"))
    assert ID in page.content.decode()
    assert json.loads(body.content)["request_id"] == ID
    assert (page.status_code, body.status_code) == (500, 500)


def test_what_is_printed_is_masked_line_by_line():
    remember_secret("s3cret-that-is-printed")
    stream = StringIO()
    masking = logs.MaskingStream(stream)
    for part in ("with s3cret-that", "-is-printed\nand ", "more"):
        masking.write(part)
    masking.flush()
    assert stream.getvalue() == f"with {MASK}\nand more"
