"""The Chinese texts: what a machine can check of them, and words that two texts must not share."""

import re
from pathlib import Path

import django
import pytest
from babel.messages import pofile
from django.template import Context, Template
from django.utils.translation import gettext, override, pgettext

from tasks_app.admin.common import django_sentences
from tasks_app.market import synthetic
from tasks_app.models import Incident
from tasks_app.models.quotes import Market
from tasks_app.notices.texts import headline
from tasks_app.sentences import join_sentences, list_words
from tests.run import ROOT
from tools import chinese, translations

CHINESE_DOCUMENTS = sorted([ROOT / "README.zh-CN.md", *(ROOT / "docs/zh").glob("*.md")])
# Ours replaces Django's Chinese wherever Django has the same English: each was looked at.
RETRANSLATED = {
    " By %(filter_title)s ",
    "%(app)s administration",
    "Add",
    "Add %(name)s",
    "Add another %(verbose_name)s",
    "Action",
    "Clear selection",
    "Click here to select the objects across all pages",
    "Documentation",
    "Duration",
    "Filters",
    "Log out",
    "Page not found",
    "Remove",
    "Run the selected action",
    "Select all %(total_count)s %(module_name)s",
    "This field is required.",
    "URL",
    "You don’t have permission to view or edit anything.",
    "active",
    "group",
    "groups",
}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("共 3 根 K线", ""),
        ("日K线，A股 2024年1月31日", ""),
        ("%(bars)s根 K线", ""),
        ("3根 K线", "no space after"),
        ("已存K线", "no space before"),
        ("导出csv", "no space before"),
        ("没有, 请稍候", "punctuation"),
        ("三根 K 线", "one word"),
        ("新的采集计划", "定时采集"),
        ("已有订单", "请求"),
        ("请你稍候", "您"),
        ("已完成。 共 3 只", "space beside"),
        ("运行中 （已暂停）", "space beside"),
        ("抽样 %(percent)s %%", "before %"),
        ("抽样 %(percent)s%%，50% 以上，%(day)s 起", ""),
        ("正在加载…", "……"),
        ("没有当日K线", "two words"),
        ("Nothing, please", ""),
    ],
)
def test_faults_of_a_text_are_found(text, fault):
    found = " ".join(chinese.faults(text))
    assert fault in found
    assert bool(fault) == bool(found)


@pytest.mark.parametrize("path", CHINESE_DOCUMENTS, ids=lambda path: path.name)
def test_documents_use_the_words_of_the_pages(path):
    assert list(chinese.document_faults(path.read_text())) == []


def test_sentences_are_joined_as_their_language_does():
    assert join_sentences("Done.", "", "Go on.") == "Done. Go on."
    assert join_sentences("已完成。", None, "请继续。") == "已完成。请继续。"
    assert join_sentences("请求过于频繁。", "HTTP 429.", "稍后重试。") == "请求过于频繁。HTTP 429. 稍后重试。"


def test_sentences_below_each_other_in_a_template_show_no_space():
    text = "{% load sentences %}{% sentences %}甲。\n{{ value }}\nA.\nB.{% endsentences %}"
    assert Template(text).render(Context({"value": "<乙>。"})) == "甲。&lt;乙&gt;。A.\nB."
    text = "{% load sentences %}{% sentences %}甲。\n<span>\n乙。\n</span>\n丙。{% endsentences %}"
    assert Template(text).render(Context()) == "甲。<span>乙。</span>丙。"


@pytest.mark.parametrize("path", sorted((ROOT / "templates").rglob("*.html")), ids=str)
def test_sentences_below_each_other_stand_in_the_tag(path):
    """Else the line break after “。” is shown as a space."""
    text = re.sub(r"{% sentences %}.*?{% endsentences %}", "", path.read_text(), flags=re.DOTALL)
    first = r"""[.!?](?:" %}|\s*{% endblocktranslate %})\s+(?:{% endif %}\s+)?"""
    assert re.findall(first + r"(?:{% if [^%]*%}\s*)?{% (?:block)?translate ", text) == []


def test_button_and_price_have_words_of_their_own():
    with override("zh-hans"):
        assert (gettext("Close"), pgettext("price", "Close")) == ("关闭", "收盘价")
        assert pgettext("button", "Close") == "关闭"


def test_lists_of_words_have_chinese_separators():
    with override("zh-hans"):
        assert list_words(["不复权", "前复权"]) == "不复权、前复权"
        assert list_words(["自 2000-03-01 起", "至 2013-03-01"], clauses=True).count("，") == 1
    assert list_words(["CN", "HK"]) == "CN, HK"


def test_markets_have_one_name_each():
    """Lists have room for a short name: in Chinese it is the one that forms show, in English the code."""
    with override("zh-hans"):
        names = {market: str(Market(market).label) for market in ("CN", "HK", "US", "SIM")}
        assert {market: synthetic.mark(market) for market in names} == names
        assert headline(Incident(event="task_failed", market="CN")) == "任务失败 · A股"
    assert [synthetic.mark(market) for market in ("CN", "XX")] == ["CN", "XX"]


def test_sentences_of_django_address_the_reader_as_the_pages_do():
    with override("zh-hans"):
        assert not [text for text in map(gettext, django_sentences.SENTENCES) if list(chinese.faults(text))]
        hint, fault = (
            str(text % {"min_length": 8}) for text in (django_sentences.HINT, django_sentences.TOO_SHORT)
        )
    assert (hint, fault) == ("密码至少须有 8 个字符。", "密码太短，至少须有 8 个字符。")


def test_words_of_django_are_replaced_on_purpose_only():
    theirs = {}
    for path in Path(django.__file__).parent.rglob("locale/zh_Hans/LC_MESSAGES/django.po"):
        with path.open("rb") as file:
            theirs |= {message.id: message.string for message in pofile.read_po(file) if not message.context}
    ours = {message.id: message.string for message in translations.load() if not message.context}
    shared = {text for text in ours.keys() & theirs.keys() if text and isinstance(text, str)}
    replaced = {text for text in shared if ours[text] != theirs[text] and theirs[text]}
    assert replaced == RETRANSLATED | set(django_sentences.SENTENCES)
