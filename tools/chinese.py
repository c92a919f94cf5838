"""What can be checked mechanically of Chinese texts: words, punctuation, spaces."""

import re
from collections.abc import Iterator

HAN = "\u4e00-\u9fff"
NO_TEXT = re.compile(
    r"%\(\w+\)[-.\d]*[sdf]|%[-.\d]*[sdf]|\{\w*\}|<[^>]+>"  # placeholders, markup
    r"|成交量\([股手]\)|2024年1月31日"  # as they stand in files
)
NAMES = re.compile("[日周月]K线|K线|[ABH]股")  # words of a letter and Han
WORDS = {  # not a word of ours, or one for which there is another: why
    "这意味着": "say what follows, without “this means”",
    "订单": "a collection request is 请求",
    "采集计划": "a plan is 定时采集",
    "K 线": "K线 is one word",
    "A 股": "A股 is one word",
    "数据落后": "data that are behind are 数据滞后",
    "股票列表": "a stock list is 股票清单",
    "无限速": "what has no limit is 不限速",
    "供应商": "a vendor of quotes is 数据商",
    "你": "the reader is 您",
}


def faults(text: str) -> Iterator[str]:
    """Yields what is wrong with a Chinese text; of a text without Han nothing."""
    if not re.search(f"[{HAN}]", text):
        return
    for word, reason in WORDS.items():
        if word in text:
            yield f"{word}: {reason}"
    plain = NO_TEXT.sub("\0", text)
    if re.search(f"[{HAN}][,;:!?]|[,;:!?][{HAN}]", plain):
        yield "punctuation of Latin texts beside Han"
    if re.search(f"[{HAN}][A-Za-z0-9]", re.sub("[日周月](?=K线)K线", "日", plain)):
        yield "no space before Latin letters or digits"
    if re.search(f"[A-Za-z0-9][{HAN}]", NAMES.sub("线", plain)):
        yield "no space after Latin letters or digits"
