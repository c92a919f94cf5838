"""The five kinds of users, and a row of each model for them to see."""

from datetime import date
from typing import Any

from django.contrib.auth.models import User

from tasks_app.models import (
    CollectionItem,
    Correction,
    DailyBar,
    Finding,
    Incident,
    NoticeChannel,
    NoticePing,
    Stock,
)
from tasks_app.notices.addresses import encrypt
from tests.api.factories import make_bars, make_stock
from tests.factories import make_ended, make_plan, make_queued_order, make_raw_answer, make_user
from tests.targets.factories import make_target

MODELS = ("collectiontask", "collectionitem", "stock", "dailybar", "finding", "correction", "recordedcall")
VIEWS = [f"view_{model}" for model in (*MODELS, "calendarday", "sourcesetting", "export")]
VIEWS += ["view_incident", "view_queuedorder"]
VIEWS += ["bulk_read", "view_metrics"]
VERBS = ["start_task", "cancel_task", "pause_task", "retry_task", "export_data", "silence_incident"]
VERBS += ["reorder_queue", "withdraw_order"]
USER_KINDS = ("anonymous", "plain", "reader", "operator", "superuser")


def make_user_of_kind(kind: str, **fields: Any) -> User | None:
    """Creates a user of this kind; returns None for anonymous."""
    staff = {"is_staff": True, **fields}
    return {
        "anonymous": lambda: None,
        "plain": lambda: make_user("plain", **fields),
        "reader": lambda: make_user("reader", *VIEWS, **staff),
        "operator": lambda: make_user("operator", *VIEWS, *VERBS, **staff),
        "superuser": lambda: make_user("superuser", is_superuser=True, **staff),
    }[kind]()


def make_rows() -> dict[str, Any]:
    """Creates a row of each model that has pages."""
    task = make_ended("failed")
    make_bars(make_stock("US", "AAPL"), 1)
    item, bar = (
        CollectionItem.objects.earliest("pk"),
        {"market": "US", "symbol": "AAPL", "day": date(2024, 1, 2)},
    )
    return {
        "collectiontask": task,
        "collectionitem": item,
        "stock": Stock.objects.get(code="AAPL"),
        "dailybar": DailyBar.objects.get(),
        "collectionplan": make_plan(),
        "finding": Finding.objects.create(item=item, kind="flagged", code="jump", message="…", **bar),
        "correction": Correction.objects.create(item=item, source="sample", **bar),
        "recordedcall": make_raw_answer(item),
        "incident": Incident.objects.get(),  # of the task that failed
        "noticechannel": NoticeChannel.objects.create(name="team", url=encrypt("json://127.0.0.1/")),
        "noticeping": NoticePing.objects.create(name="watcher", url=encrypt("https://example.com/")),
        "target": make_target(),
        "queuedorder": make_queued_order(),
    }
