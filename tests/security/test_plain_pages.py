"""What strangers and the hasty see when there is nothing to show: our own page, in their language."""

import pytest
from django.test import Client

CHINESE = {"accept-language": "zh-CN"}


def test_an_unknown_address_says_so_and_leads_home():
    answer = Client(headers=CHINESE).get("/nothing-here")
    assert answer.status_code == 404
    assert "页面不存在" in answer.content.decode()


@pytest.mark.django_db
def test_a_form_without_its_cookie_says_that_nothing_was_done():
    answer = Client(headers=CHINESE, enforce_csrf_checks=True).post("/admin/login/", {"username": "ann"})
    assert answer.status_code == 403
    assert "没有执行任何操作" in answer.content.decode()
    assert "default-src 'none'" in answer["Content-Security-Policy"]
