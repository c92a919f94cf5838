"""What workers warn of is told in the reader's language on the task's page."""

import pytest

from tasks_app import lifecycle
from tasks_app.models.tasks import EventKind
from tests.admin.helpers import (
    TASKS,
    superuser,
    text_of,
    url,
)
from tests.factories import make_lane, make_task

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("language", "sentence"),
    [
        ("en", "The trading calendar of CN ends on 2026-12-31"),
        ("zh-hans", "CN 的交易日历只到 2026-12-31"),
    ],
)
def test_a_warning_is_a_sentence_of_its_own(language, sentence):
    task = make_task()
    lane = make_lane(task)
    for _ in range(2):
        lifecycle.warn(lane, "calendar_ends", market="CN", end="2026-12-31")
    assert task.events.filter(kind=EventKind.WARNED).count() == 1, "once is enough"
    client = superuser()
    client.cookies["django_language"] = language
    assert sentence in text_of(client.get(url(f"{TASKS}_change", task.pk)))


def test_a_warning_of_another_version_shows_its_parameters():
    task = make_task()
    lifecycle.warn(make_lane(task), "of_another_version", why="because")
    assert "because" in text_of(superuser().get(url(f"{TASKS}_change", task.pk)))
