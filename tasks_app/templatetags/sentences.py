"""The block tag around sentences that stand one below the other in a template."""

import re

from django import template
from django.utils.safestring import SafeString, mark_safe

from tasks_app.sentences import FULL_STOPS

register = template.Library()


@register.simple_block_tag
def sentences(content: str) -> SafeString:
    """Returns the content without the line breaks after “。”, which a browser would show as spaces."""
    return mark_safe(re.sub(rf"(?<=[{FULL_STOPS}])\s*(</?span[^>]*>)?\s+", r"\1", content))  # noqa: S308 - escaped by its tags
