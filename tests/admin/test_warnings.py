"""The task's page shows warnings of workers in the reader's language."""

import pytest

from tasks_app import lifecycle
from tasks_app.models.events import EventKind
from tests.admin.helpers import TASKS, superuser_client, text_of, url
from tests.factories import make_lane, make_task

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("language", "sentence"),
    [
        ("en", "The trading calendar of CN ends on 2026-12-31"),
        ("zh-hans", "CN 的交易日历只到 2026-12-31"),
    ],
)
def test_warning_is_shown_as_a_sentence(language, sentence):
    task = make_task()
    lane = make_lane(task)
    for _ in range(2):
        lifecycle.warn(lane, "calendar_ends", market="CN", end="2026-12-31")
    assert task.events.filter(kind=EventKind.WARNED).count() == 1, "once is enough"
    client = superuser_client()
    client.cookies["django_language"] = language
    assert sentence in text_of(client.get(url(f"{TASKS}_change", task.pk)))


def test_unknown_warning_shows_its_parameters():
    task = make_task()
    lifecycle.warn(make_lane(task), "of_another_version", why="because")
    assert "because" in text_of(superuser_client().get(url(f"{TASKS}_change", task.pk)))
