"""Traits are read from plain class attributes, with defaults for those left out."""

from datetime import date, time

import pytest

from tasks_app import source_settings
from tasks_app.conf import Conf
from tasks_app.sources import registry, traits
from tasks_app.sources.base import Limits, Setting
from tasks_app.sources.traits import InvalidSource, SourceTraits, read_traits


class Plain:
    """A source that declares nothing."""

    name = "plain"
    markets = ("HK", "CN")
    adjusts = ("", "qfq")

    @classmethod
    def from_conf(cls, conf): ...

    def symbols(self, market): ...

    def fetch(self, request): ...


class WholeDays(Plain):
    def fetch_day(self, market, day, adjust): ...


def make_class(base=Plain, **attributes):
    return type("Made", (base,), attributes)


def test_plain_class_has_the_defaults():
    limits = Limits(time_zone="Asia/Hong_Kong", breaker=True)
    assert read_traits(Plain) == SourceTraits(limits=limits)


def test_documented_attributes_are_read():
    made = make_class(
        rate=5,
        daily=1e4,
        in_flight=2,
        most_workers=1,
        time_zone="Europe/Paris",
        calendar=False,
        free_list=True,
        local=True,
        grows=True,
        retracts=True,
        synthetic=True,
        markets=("SIM",),
        needs="csv_dir",
        ready_at=time(17, 30),
    )
    assert read_traits(made) == SourceTraits(
        limits=Limits(
            rate=5.0, daily=10_000, in_flight=2, most_workers=1, time_zone="Europe/Paris", breaker=False
        ),
        follows_exchange=False,
        ready_at=time(17, 30),
        list_is_free=True,
        history_may_grow=True,
        retracts_bars=True,
        is_synthetic=True,
        required_setting="csv_dir",
    )


@pytest.mark.parametrize(
    ("base", "attributes", "served"),
    [
        (Plain, {"day_markets": ("CN",)}, set()),
        (WholeDays, {}, {("CN", ""), ("CN", "qfq"), ("HK", ""), ("HK", "qfq")}),
        (WholeDays, {"day_markets": {"CN"}, "day_adjusts": [""]}, {("CN", "")}),
        (WholeDays, {"day_markets": ()}, set()),
    ],
)
def test_days_are_served_in_declared_markets(base, attributes, served):
    made = read_traits(make_class(base, **attributes))
    pairs = [(market, adjust) for market in ("CN", "HK", "US") for adjust in ("", "qfq", "hfq")]
    assert {pair for pair in pairs if made.serves_days(*pair)} == served


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"rate": "fast"}, "its rate must be a number from 0 up"),
        ({"rate": float("nan")}, "its rate must be"),
        ({"daily": -1}, "its daily must be"),
        ({"in_flight": None}, "its in_flight must be"),
        ({"most_workers": float("inf")}, "its most_workers must be"),
        (
            {"time_zone": "Nowhere/City"},
            "its time_zone must be the name of a time zone whose data are installed, not 'Nowhere/City'",
        ),
        ({"time_zone": 8}, "its time_zone must be"),
        ({"day_markets": "CN"}, "its day_markets must be some of 'CN', 'HK', 'US', 'SIM'"),
        (
            {"first_day": date(2024, 1, 2), "last_day": date(2024, 1, 1)},
            "its first_day is after its last_day",
        ),
        ({"from_conf": lambda self: self}, "its from_conf"),
        ({"settings": (Setting(7),)}, "its setting “7” is not a lower-case name"),
        (
            {"settings": (Setting("n", "int"),)},
            "the type of its setting “n” is neither a type nor a function",
        ),
        ({"settings": (Setting("n", int, default="7"),)}, "the default of its setting “n” is no int"),
        ({"settings": (Setting("n", bool, default=1),)}, "the default of its setting “n” is no bool"),
        (
            {"settings": (Setting("n", int, default=5, lowest=10),)},
            "the default of its setting “n”: “5” is not",
        ),
        (
            {"settings": (Setting("n", default="short", secret=True),)},
            "the default of its setting “n”: a secret",
        ),
        ({"day_adjusts": ("raw",)}, "its day_adjusts must be some of '', 'qfq', 'hfq'"),
    ],
)
def test_malformed_trait_breaks_the_source_by_name(monkeypatch, attributes, message):
    malformed = make_class(WholeDays, **attributes)
    with pytest.raises(InvalidSource, match=message):
        read_traits(malformed)
    monkeypatch.setattr(traits, "Malformed", malformed, raising=False)
    path = "tasks_app.sources.traits:Malformed"
    conf = Conf(sources=(("mine", path),), default_source=message)  # a settings object of its own: no cache
    assert registry.broken(conf)["mine"].startswith(f"{path} is not a source: {message}")
    assert "mine" not in registry.available(conf)


@pytest.mark.parametrize(
    "attributes",
    [
        {"settings": {"host": "vendor.example"}},
        {"settings": property(lambda self: self)},
        {"settings": lambda self: ()},
        {"settings": None},
        {"settings": ["host"]},
        {"cost": lambda self, rows: 1},
        {"cost": property(lambda self: 1)},
    ],
)
def test_kind_of_attribute_of_its_own_declares_nothing(attributes):
    assert read_traits(make_class(Plain, **attributes)) == read_traits(Plain)
    assert source_settings.declared(make_class(Plain, **attributes)) == source_settings.declared(Plain)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"settings": (Setting("host"), "port")}, "its settings must be a tuple of Setting"),
        ({"cost": 1.5}, "its cost must be a whole number"),
        ({"cost": "2"}, "its cost must be a whole number"),
    ],
)
def test_mistaken_declaration_is_refused(attributes, message):
    with pytest.raises(InvalidSource, match=message):
        read_traits(make_class(Plain, **attributes))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"synthetic": True}, r"it is synthetic, so its markets must be \('SIM',\)"),
        ({"synthetic": True, "markets": ("SIM", "CN")}, "it is synthetic"),
        ({"markets": ("CN", "SIM")}, "the market 'SIM' is for sources with synthetic = True only"),
    ],
)
def test_made_up_and_real_quotes_have_markets_of_their_own(attributes, message):
    with pytest.raises(InvalidSource, match=message):
        traits.check_source(make_class(WholeDays, **attributes))


def test_unavailable_source_has_the_default_traits():
    assert registry.traits("nowhere", Conf()) == SourceTraits(Limits())
    with pytest.raises(KeyError):
        registry.limits("nowhere", Conf())


@pytest.mark.parametrize(
    ("base", "attributes", "served"),
    [
        ("Plain", {}, {("CN", "stock"), ("HK", "stock")}),
        (
            "Plain",
            {"kinds": ("stock", "index")},
            {("CN", "stock"), ("HK", "stock")},
        ),  # it has no list of them
        ("Kinds", {"kinds": ("stock", "index")}, {(m, k) for m in ("CN", "HK") for k in ("stock", "index")}),
        (
            "Kinds",
            {"kinds": ("etf",), "kind_markets": ("CN",)},
            {("CN", "stock"), ("HK", "stock"), ("CN", "etf")},
        ),
    ],
)
def test_kinds_need_a_list_of_their_own(base, attributes, served):
    bases = {"Plain": Plain, "Kinds": make_class(symbols_of_kind=lambda self, market, kind: ())}
    made = read_traits(make_class(bases[base], **attributes))
    pairs = {(market, kind) for market in ("CN", "HK") for kind in ("stock", "etf", "index")}
    assert {pair for pair in pairs if made.serves_kind(*pair)} == served


def test_unknown_kind_is_invalid():
    with pytest.raises(InvalidSource, match="its kinds must be some of"):
        read_traits(make_class(kinds=("bond",)))
