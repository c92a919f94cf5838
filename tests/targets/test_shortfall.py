"""What a session lacks: why a stock has no bar, and the order that collects exactly that."""

import pytest

from tasks_app.targets import judgement, shortfall
from tests.factories import finish, make_task
from tests.targets.factories import SESSION, at, make_target, store

pytestmark = pytest.mark.django_db
DAY = {"start_date": SESSION, "end_date": SESSION, "market": "CN", "source": "akshare"}


def read(**fields):
    target = make_target(**fields)
    judgement.judge(at("30 18:00"))
    return shortfall.read_shortfall(target.sessions.select_related("target").get())


def why(found, now="30 18:00"):
    return {lack.code: lack.why for lack in shortfall.explain_missing(found, found.contents.missing, at(now))}


@pytest.mark.parametrize(
    ("now", "reason"),
    [("30 16:00", "not due yet: tushare has the session from 17:00 on"), ("30 17:00", "not collected")],
)
def test_stock_that_nobody_asked_for_waits_for_its_source(now, reason):
    store("600000", None)
    assert why(read(source="tushare"), now) == {"600000": reason}


def test_newest_task_says_why_a_stock_is_missing():
    store("600000", None)
    for state, said, reason in [
        ("failed", "No answer.", "failed: No answer."),
        ("failed", "It is unknown.", "failed: It is unknown."),
        ("succeeded", "", "requested, and the source had no final answer yet"),
    ]:
        error = {"error_code": "timeout", "error_message": said} if said else {}
        finish(make_task(stock_codes=("600000",), **DAY), state, **error)
        assert why(read(name=reason)) == {"600000": reason}


def test_task_of_other_days_says_nothing():
    store("600000", None)
    earlier = {**DAY, "start_date": SESSION.replace(day=1), "end_date": SESSION.replace(day=29)}
    finish(make_task(stock_codes=("600000",), **earlier), "failed", error_code="timeout")
    assert why(read()) == {"600000": "not collected"}


def test_order_names_the_missing_stocks_or_the_whole_list():
    for code in ("600000", "600001"):
        store(code, None)
    assert read().order.stock_codes is None
    store("600001", at("30 16:00"))
    found = read(name="one of two")
    assert found.order.stock_codes == ("600000",)
    assert (found.order.start_date, found.order.end_date, found.order.force_update) == (
        SESSION,
        SESSION,
        False,
    )
    store("600000", at("30 16:00"))
    assert read(name="none").order is None
