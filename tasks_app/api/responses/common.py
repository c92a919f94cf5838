"""What the serializers of responses share, and errors and checks of health."""

from typing import Any

from rest_framework import serializers as s

Answer = s.Serializer[Any]


def count(help_text: str | None = None) -> s.IntegerField:
    return s.IntegerField(min_value=0, help_text=help_text)


def texts(help_text: str | None = None, **options: Any) -> s.ListField:
    return s.ListField(child=s.CharField(), help_text=help_text, **options)


class ErrorAnswer(Answer):
    detail = s.CharField(help_text="One sentence in the language of Accept-Language.")
    code = s.CharField(help_text="Stable, for machines.")
    errors = s.DictField(  # type: ignore[assignment]
        child=texts(), required=False, help_text="Sentences by field, where fields are invalid."
    )
    request_id = s.CharField(
        required=False, help_text="Of an error of the server: the log's lines of the request have it."
    )


class AliveAnswer(Answer):
    alive = s.BooleanField()


class ReadyAnswer(Answer):
    ready = s.BooleanField(help_text="Whether all checks succeed.")
    database = s.BooleanField(help_text="The database answers.")
    migrations = s.BooleanField(help_text="No migration is missing.")
    queue = s.BooleanField(help_text="The job queue can be read.")
    worker = s.BooleanField(help_text="At least one worker is alive.")
