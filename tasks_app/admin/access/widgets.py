"""The list of checkboxes of users and groups."""

from typing import Any

from django import forms
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

CHOICE = '<label><input type="checkbox" name="{}" value="{}" id="{}"{}><span>{}</span></label>\n'


class CheckboxList(forms.CheckboxSelectMultiple):
    """A checkbox for each choice. The theme's own makes a kilobyte of each, of a hundred permissions."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        context = self.get_context(name, value, attrs)["widget"]
        choices = [option for _, options, _ in context["optgroups"] for option in options]
        return format_html(
            '<div class="us-choices" id="{}">{}</div>',
            context["attrs"].get("id", ""),
            format_html_join("", CHOICE, map(_fields, choices)),
        )


def _fields(option: dict[str, Any]) -> tuple[Any, ...]:
    states = ("checked", option["selected"]), ("disabled", option["attrs"].get("disabled"))
    marks = format_html_join("", " {}", ((mark,) for mark, is_set in states if is_set))
    return option["name"], option["value"], option["attrs"].get("id", ""), marks, option["label"]
