"""Sources of installed packages, by entry points; names that clash and classes that are none."""

from importlib.metadata import EntryPoint

import pytest

from tasks_app import checks
from tasks_app.conf import Conf
from tasks_app.sources import registry

GOOD, OTHER = "tests.fakes.scripted_sources:First", "tests.fakes.scripted_sources:Second"


@pytest.fixture
def install(monkeypatch, settings):
    """Returns a function that installs entry points; the caches forget them afterwards."""

    def forget():
        for cached in (registry.paths, registry.installed_sources, registry.broken, registry.available):
            cached.cache_clear()
        registry.hidden.cache_clear()

    def run(*points, **conf):
        found = [EntryPoint(name, path, "collector.sources") for name, path in points]
        monkeypatch.setattr(registry, "entry_points", lambda group: found)
        forget()
        settings.COLLECTOR = Conf(**conf)
        return settings.COLLECTOR

    yield run
    forget()


def test_entry_point_is_a_source(install):
    conf = install(("mine", GOOD))
    assert registry.get_source("mine", conf).name == "mine"
    assert checks.check_sources() == []


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([("mine", "no.such:Thing")], "no.such:Thing can't be loaded: ModuleNotFoundError"),
        ([("mine", "tests.factories:ROOT")], "tests.factories:ROOT can't be loaded: AttributeError"),
        ([("mine", GOOD), ("mine", OTHER)], "several packages have it: "),
        ([("a" * 33, GOOD)], "has a name other than"),
    ],
)
def test_unusable_entry_point_is_left_out_with_a_warning(install, points, message):
    conf = install(*points)
    name = points[0][0]
    assert message in registry.broken(conf)[name]
    assert name not in registry.available(conf)
    (warning,) = checks.check_sources()
    assert (warning.id, message in warning.msg) == ("collector.W001", True)


def test_entry_point_never_replaces_a_built_in_source(install):
    conf = install(("sample", GOOD))
    assert registry.available(conf)["sample"].__name__ == "SampleSource"
    (warning,) = checks.check_sources()
    assert "has the name of a built-in source" in warning.msg


def test_setting_decides_between_packages(install):
    conf = install(("mine", GOOD), ("mine", OTHER), sources=(("mine", OTHER),))
    assert registry.available(conf)["mine"].__name__ == "Second"
    assert checks.check_sources() == []
