"""Stored settings of sources: encrypted, masked, below the environment, and known to workers at once."""

from dataclasses import replace

import pytest

from tasks_app import source_settings as declarations
from tasks_app.lifecycle import source_settings
from tasks_app.lifecycle.source_settings import InvalidValue, SetByEnvironment
from tasks_app.models import SourceSetting
from tasks_app.source_settings import Setting
from tasks_app.sources import registry
from tests.fakes.scripted_sources import First

pytestmark = pytest.mark.django_db
SECRET = "a-vendors-secret/token"


@pytest.fixture
def stored(settings, monkeypatch):
    """The source `first` needs a token; stored settings are in use. Returns the function that stores it."""
    declared = (Setting("token", secret=True, required=True), Setting("pages", int, default=3, lowest=1))
    monkeypatch.setattr(First, "settings", declared, raising=False)
    monkeypatch.setattr(First, "from_conf", classmethod(remember))
    monkeypatch.setattr(registry, "_stored_settings", source_settings.texts)
    settings.COLLECTOR = replace(
        settings.COLLECTOR, sources=(("first", "tests.fakes.scripted_sources:First"),), environment=()
    )
    source_settings.forget_texts()
    registry.forget_sources()
    yield lambda text, name="token": source_settings.store("first", name, text, "alice")
    source_settings.forget_texts()
    registry.forget_sources()


def remember(cls, conf):
    source = cls()
    source.own = conf.source_settings(cls)
    return source


def status(name="token"):
    return {each.setting.name: each for each in source_settings.statuses("first")}[name]


def test_stored_value_is_encrypted_and_reaches_the_source(stored, settings):
    assert registry.why_unusable("first", settings.COLLECTOR).endswith("COLLECTOR_FIRST_TOKEN.")
    stored(SECRET)
    row = SourceSetting.objects.get()
    assert (SECRET in row.value, row.changed_by) == (False, "alice")
    assert registry.get_source("first", settings.COLLECTOR).own["token"] == SECRET


def test_changed_value_makes_the_source_again(stored, settings):
    stored(SECRET)
    first = registry.get_source("first", settings.COLLECTOR)
    assert registry.get_source("first", settings.COLLECTOR) is first
    stored("another-secret")
    assert registry.get_source("first", settings.COLLECTOR).own["token"] == "another-secret"


def test_other_process_sees_a_change_after_seconds(stored, settings, monkeypatch):
    stored(SECRET)
    registry.get_source("first", settings.COLLECTOR)
    monkeypatch.setattr(source_settings, "forget_texts", lambda: None)
    stored("another-secret")  # as by another process
    assert registry.get_source("first", settings.COLLECTOR).own["token"] == SECRET
    source_settings._Snapshot.read_at -= source_settings.FRESH_SECONDS
    assert registry.get_source("first", settings.COLLECTOR).own["token"] == "another-secret"


def test_environment_wins(stored, settings):
    stored(SECRET)
    variables = (("COLLECTOR_FIRST_TOKEN", "from-the-environment"),)
    settings.COLLECTOR = replace(settings.COLLECTOR, environment=variables)
    assert registry.get_source("first", settings.COLLECTOR).own["token"] == "from-the-environment"
    assert (status().origin, status().is_stored) == ("environment", True)
    with pytest.raises(SetByEnvironment):
        stored("not-now-please")


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("pages", "many", "“many” is not a whole number"),
        ("pages", "0", "“0” is not from 1 to inf"),
        ("token", "short", "a secret has at least 6 characters"),
        ("token", " ", "the value is empty"),
    ],
)
def test_malformed_value_is_not_stored(stored, name, text, problem):
    with pytest.raises(InvalidValue, match=problem):
        stored(text, name)
    assert not SourceSetting.objects.exists()


def test_quota_below_the_cost_of_a_request_is_not_stored(stored, monkeypatch):
    monkeypatch.setattr(First, "cost", {"day": 4}, raising=False)
    registry.traits.cache_clear()
    with pytest.raises(InvalidValue, match="a quota of 3 lets no request of first through that takes 4"):
        stored("3", "per_hour")
    stored("4", "per_hour")
    stored("0", "per_minute")
    registry.traits.cache_clear()


def test_status_says_where_a_value_comes_from_and_masks_it(stored):
    assert (status().origin, status("pages").origin, status("pages").shown) == ("missing", "default", "3")
    stored(SECRET)
    stored("7", "pages")
    assert (status().origin, status().shown) == ("stored", declarations.MASK)
    assert (status("pages").shown, status("pages").changed_by) == ("7", "alice")
    assert source_settings.remove("first", "pages")
    assert status("pages").origin == "default"


def test_value_of_another_secret_key_counts_as_missing_and_says_so(stored, settings):
    stored(SECRET)
    settings.SECRET_KEY = "another key"
    source_settings.forget_texts()
    assert status().origin == "missing"
    assert "another DJANGO_SECRET_KEY" in status().problem


def test_limits_of_another_secret_key_do_not_open_the_source(stored, settings):
    """The default would be no limit at all, or another address: the source can't be used instead."""
    stored(SECRET)
    stored("0.5", "rate")
    settings.SECRET_KEY = "another key"
    source_settings.forget_texts()
    assert "another DJANGO_SECRET_KEY" in registry.why_unusable("first", settings.COLLECTOR)
    settings.COLLECTOR = replace(settings.COLLECTOR, environment=(("COLLECTOR_FIRST_TOKEN", SECRET),))
    assert "COLLECTOR_FIRST_RATE" in registry.why_unusable("first", settings.COLLECTOR)


def test_former_secret_key_still_reads_the_value(stored, settings):
    stored(SECRET)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another key"
    assert (status().origin, status().problem) == ("stored", "")


def test_stored_rate_limits_requests(stored, settings):
    stored("0.5", "rate")
    assert registry.limits("first", replace(settings.COLLECTOR, no_throttle=False)).rate == 0.5


def test_secret_is_masked_wherever_it_is_written(stored):
    stored(SECRET)
    for text in (SECRET, "a-vendors-secret%2Ftoken", f"https://x/?token={SECRET}&a=b"):
        assert "vendors-secret" not in declarations.mask(text)
    assert SECRET not in repr(declarations.read(First, {"COLLECTOR_FIRST_TOKEN": SECRET}, {}))
