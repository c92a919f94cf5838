"""Parses JSON bodies, and rejects what is not JSON or can't be stored with a sentence that says where."""

import json
import re
from collections.abc import Mapping
from typing import IO, Any

from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser
from rest_framework.utils.json import strict_constant

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class ObjectParser(JSONParser):
    """Accepts one JSON object in UTF-8, without NUL and lone surrogates, which PostgreSQL can't store."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        data = _load(stream.read())
        if not isinstance(data, dict):
            raise ParseError(_('The body must be a JSON object, such as {"start_date": "2024-01-01"}.'))
        if _has_unstorable_text(data):
            raise ParseError(_("The body holds a NUL or a lone surrogate, which is no character."))
        return data


def _load(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8-sig"), parse_constant=strict_constant)
    except UnicodeDecodeError:
        raise ParseError(_("The body is not UTF-8.")) from None
    except RecursionError:
        raise ParseError(_("The body is nested too deeply.")) from None
    except json.JSONDecodeError as error:
        place = {"line": error.lineno, "column": error.colno}
        raise ParseError(_("The body is not JSON: line %(line)d, column %(column)d.") % place) from None
    except ValueError:
        raise ParseError(_("The body is not JSON: one of its numbers can't be read.")) from None


def _has_unstorable_text(data: Any) -> bool:
    pending = [data]
    while pending:  # no recursion: the sender decides how deep the nesting is
        value = pending.pop()
        if isinstance(value, dict):
            pending += [*value, *value.values()]
        elif isinstance(value, list):
            pending += value
        elif isinstance(value, str) and _UNSTORABLE.search(value):
            return True
    return False
