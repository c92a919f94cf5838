"""The English texts: one word for one thing, on Django's own pages, too, and words in place of codes."""

import re
from html import escape

import pytest
from django.contrib.admin import site
from django.contrib.auth.models import User
from django.test import Client
from django.utils.translation import override

from tasks_app import reasons
from tasks_app.admin.common import formatting
from tasks_app.admin.tasks import events
from tasks_app.models import (
    CollectionPlan,
    Correction,
    Finding,
    Incident,
    NoticeChannel,
    NoticePing,
    QueuedOrder,
    RecordedCall,
    Target,
)
from tests.admin.helpers import superuser_client, text_of, url
from tests.factories import make_user, sign_in
from tools import translations

# An icon's name, such as "logout", is in the text of a page.
OTHER_WORDS = re.compile(r"\blog (in|out)\b|logged|username|welcome back", re.IGNORECASE)
# Lists whose names alone do not say what is in them.
EXPLAINED = (
    *(CollectionPlan, Correction, Finding, Incident, NoticeChannel, NoticePing),
    *(QueuedOrder, RecordedCall, Target),
)


def catalogue():
    return {message.id: message.string for message in translations.load(translations.ENGLISH) if message.id}


def test_english_catalogue_replaces_texts_that_exist():
    """A text that Django or the theme no longer has is to leave the catalogue, too."""
    import django

    django_texts = {
        message.id
        for path in translations.Path(django.__file__).parent.rglob("locale/en/LC_MESSAGES/django.po")
        for message in translations.load(path)
    }
    theme = {singular for (_, singular, _), _ in translations.extracted(translations.THEME)}
    assert not catalogue().keys() - django_texts - theme
    assert not [text for text in catalogue().values() if OTHER_WORDS.search(text.replace("%(username)s", ""))]


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/admin/login/", "/api/auth/login/"])
def test_sign_in_pages_use_one_word(path):
    client = Client()
    refused = client.post(path, {"username": "nobody", "password": "wrong"})
    for response in (client.get(path), refused):
        assert response.status_code == 200
        text = text_of(response)
        assert "Sign in" in text
        assert "User name" in text
        assert not OTHER_WORDS.search(text), text


@pytest.mark.django_db
def test_signed_out_and_unfit_users_are_told_in_the_same_words():
    client = superuser_client()
    assert not OTHER_WORDS.search(text_of(client.get(url("index"))))
    assert not OTHER_WORDS.search(text_of(client.post(url("logout"))))
    sign_in(client, make_user("plain", is_staff=False))
    assert not OTHER_WORDS.search(text_of(client.get("/admin/login/")))


@pytest.mark.django_db
def test_user_forms_use_one_word():
    client = superuser_client()
    own = url("auth_user_change", User.objects.get().pk)
    pages = [client.get(url("auth_user_add")), client.get(own), client.post(url("auth_user_add"), {})]
    assert not [text_of(page) for page in pages if OTHER_WORDS.search(text_of(page))]


@pytest.mark.django_db
def test_user_page_lists_all_permissions_in_few_bytes():
    page = superuser_client().get(url("auth_user_change", make_user("mei").pk)).content
    assert page.count(b'name="user_permissions"') > 50
    assert len(page) < 80_000


def test_percentages_have_one_form():
    assert [formatting.percent(value, 0) for value in (None, 33, 100)] == ["–", "33%", "100%"]
    texts = [text for message in translations.load() for text in (message.id, message.string) if text]
    words = [word for text in texts for word in (text if isinstance(text, tuple) else (text,))]
    assert not [text for text in words if re.search(r"\)[ds]\s%%|[0-9]\s%(?!\()", text)]


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_codes_in_events_are_words(language):
    with override(language):
        meaning = str(reasons.REASONS["all_failed"])
        assert [str(value) for _, value in events.named_parameters({"code": "all_failed"})] == [meaning]
        assert reasons.meaning("of_another_version") == "of_another_version"


@pytest.mark.django_db
@pytest.mark.parametrize("model", EXPLAINED, ids=lambda model: model.__name__)
def test_empty_list_says_what_its_rows_are(model):
    explanation = str(site.get_model_admin(model).explanation)
    page = superuser_client().get(url(f"tasks_app_{model._meta.model_name}_changelist"), follow=True)
    assert escape(explanation) in text_of(page)
