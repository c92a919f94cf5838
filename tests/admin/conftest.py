"""Fixtures of the staff pages' tests."""

from typing import Any

import pytest
from django.template import RequestContext
from django.template.response import SimpleTemplateResponse
from django.test.signals import template_rendered


@pytest.fixture
def without_html(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has pages answered with their context and no text, which takes most of their time.

    For tests that look at the context only. Others show that the page shows it.
    """

    def send_context(self: Any) -> str:
        context = RequestContext(self._request, self.resolve_context(self.context_data))
        template = self.resolve_template(self.template_name)
        template_rendered.send(sender=self, template=template, context=context)
        return ""

    monkeypatch.setattr(SimpleTemplateResponse, "rendered_content", property(send_context))
