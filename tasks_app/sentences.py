"""Joins sentences and words as the language of the text does: Chinese has no space between them."""

from collections.abc import Iterable
from typing import Any

from django.utils.translation import pgettext

FULL_STOPS = "。！？；："  # they bring their own space: one after them would be a second one


def join_sentences(*sentences: Any) -> str:
    """Returns the sentences that are not empty as one text: with a space between, but none after “。”."""
    text = ""
    for sentence in map(str, filter(None, sentences)):
        text += sentence if not text or text.endswith(tuple(FULL_STOPS)) else f" {sentence}"
    return text


def list_words(words: Iterable[Any], *, clauses: bool = False) -> str:
    """Returns words, or clauses, separated as the reader's language does."""
    between = pgettext("between clauses", ", ") if clauses else pgettext("between words", ", ")
    return between.join(map(str, words))
