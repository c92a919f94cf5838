"""The site's own error pages, in the reader's language."""

import pytest
from django.test import Client

CHINESE = {"accept-language": "zh-CN"}


def test_unknown_address_in_chinese():
    response = Client(headers=CHINESE).get("/nothing-here")
    assert response.status_code == 404
    assert "页面不存在" in response.content.decode()


@pytest.mark.django_db
def test_form_without_csrf_cookie_in_chinese():
    response = Client(headers=CHINESE, enforce_csrf_checks=True).post("/admin/login/", {"username": "ann"})
    assert response.status_code == 403
    assert "没有执行任何操作" in response.content.decode()
    assert "default-src 'none'" in response["Content-Security-Policy"]
