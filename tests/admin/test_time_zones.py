"""The time zone of a reader: chosen, else the site's, else that of the language; with its name."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone, translation

from tasks_app import time_zones
from tasks_app.admin.common import formatting
from tasks_app.management import output
from tasks_app.models import UserPreference
from tests.admin.helpers import text_of, url
from tests.factories import make_user

AT = datetime(2025, 8, 1, 9, 30, tzinfo=UTC)
CHINESE = {"Accept-Language": "zh-hans"}
pytestmark = pytest.mark.django_db


@pytest.fixture
def reader(client):
    """A member of the staff without any permission, who has signed in."""
    client.force_login(user := make_user("ann", is_staff=True))
    return user


def zone_of_page(client, **headers):
    """Returns the name of the zone in which the page says what time it is."""
    page = client.get(url("preferences"), headers=headers)
    return page.context["now"].split(" ", 2)[2]


@pytest.mark.parametrize(
    ("zone", "english", "chinese"),
    [
        ("Asia/Shanghai", "2025-08-01 17:30 Beijing time", "2025-08-01 17:30 北京时间"),
        ("America/New_York", "2025-08-01 05:30 New York time", "2025-08-01 05:30 纽约时间"),
        ("UTC", "2025-08-01 09:30 UTC", "2025-08-01 09:30 UTC"),
        ("Europe/Paris", "2025-08-01 11:30 Europe/Paris", "2025-08-01 11:30 Europe/Paris"),
    ],
)
def test_time_names_its_zone(zone, english, chinese):
    with timezone.override(ZoneInfo(zone)):
        assert time_zones.write(AT) == english
        assert time_zones.current_name() in formatting.timestamp(AT)
        with translation.override("zh-hans"):
            assert time_zones.write(AT) == chinese


@pytest.mark.usefixtures("without_html")
def test_reader_chooses_a_zone_and_may_take_it_back(client, reader):
    assert zone_of_page(client) == "UTC"
    answer = client.post(url("preferences"), {"time_zone": "America/New_York"})
    assert (answer.status_code, UserPreference.objects.get().user) == (302, reader)
    assert zone_of_page(client) == "New York time"
    client.post(url("preferences"), {"time_zone": ""})
    assert zone_of_page(client) == "UTC"


@pytest.mark.usefixtures("reader")
def test_unknown_zone_is_refused(client):
    answer = client.post(url("preferences"), {"time_zone": "Asia/Nowhere"})
    assert answer.status_code == 200
    assert "Asia/Nowhere" in text_of(answer)
    assert not UserPreference.objects.exists()


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize(("is_set", "zone"), [(False, "北京时间"), (True, "UTC")])
@pytest.mark.usefixtures("without_html")
def test_reader_of_chinese_has_chinas_zone_unless_the_site_has_one(client, settings, is_set, zone):
    settings.TIME_ZONE_IS_SET = is_set
    assert zone_of_page(client, **CHINESE) == zone


@pytest.mark.usefixtures("without_html")
def test_choice_comes_before_the_language(client, reader):
    UserPreference.objects.create(user=reader, time_zone="Asia/Hong_Kong")
    client.force_login(reader)
    assert zone_of_page(client, **CHINESE) == "香港时间"


@pytest.mark.usefixtures("without_html")
def test_zone_of_one_request_is_not_the_next_ones(client, reader):
    UserPreference.objects.create(user=reader, time_zone="Asia/Tokyo")
    client.force_login(reader)
    assert zone_of_page(client) == "Tokyo time"
    assert timezone.get_current_timezone_name() == "UTC"


@pytest.mark.parametrize(("locale", "zone"), [("zh_CN.UTF-8", "北京时间"), ("C.UTF-8", "UTC")])
def test_terminal_has_the_zone_of_its_language(monkeypatch, locale, zone):
    monkeypatch.setenv("LC_ALL", locale)
    output.write_for_terminal()
    assert time_zones.current_name() == zone


def test_zones_to_choose_begin_with_those_of_the_markets():
    named = [zone for zone, _ in time_zones.choices()]
    assert named[:3] == ["UTC", "Asia/Shanghai", "Asia/Hong_Kong"]
    assert {"Europe/Paris", "America/Chicago"} <= set(named)
    assert len(named) == len(set(named))
