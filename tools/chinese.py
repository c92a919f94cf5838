"""What can be checked mechanically of Chinese texts: words, punctuation, spaces."""

import re
from collections.abc import Iterator

HAN = "\u4e00-\u9fff"
NO_TEXT = re.compile(
    r"%\(\w+\)[-.\d]*[sdf]|%[-.\d]*[sdf]|\{\w*\}|<[^>]+>"  # placeholders, markup
    r"|成交量\([股手]\)|2024年1月31日|12\.3万"  # as they stand in files
    r"|(?:上证|科创|北证|中证|沪深)\d+"  # names of indices
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
    "整个市场": "all stocks of a market are 全市场",
    "股票代码": "a code is 证券代码, for it may be a fund's",
    "账户": "an account is 账号",
    "网页服务器": "a web server is Web 服务器",
    "除权事件": "a corporate action is 公司行动",
    "昨收": "the previous close is 前收盘价",
    "末日": "a last day is 最后日期 or 结束日期",
    "校正": "to correct is 修正",
    "略过": "to leave out is 略去",
    "未比较": "to compare is 比对",
    "答复": "what a source answers is an 应答",
    "请求正文": "a request's body is 请求体",
    "当日K线": "当日 and K线 are two words",
    "该日K线": "该日 and K线 are two words",
}


FENCED = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
# Text that stays as it is in a document: code, addresses of links, images; a bold lead needs its space.
NOT_READ = re.compile(r"^ *(?:[-*>]|#+|\d+\.) +|`[^`]*`|!\[[^]]*\]|\]\([^)]*\)|(?<=[。？])\*\* ")


def document_faults(text: str) -> Iterator[str]:
    """Yields what is wrong with a Chinese document in Markdown, with the number of the line."""
    code_left_out = FENCED.sub(lambda found: "\n" * found[0].count("\n"), text)
    for number, line in enumerate(code_left_out.split("\n"), 1):
        for cell in NOT_READ.sub("\0", line).replace("**", "").split("|"):
            yield from (f"line {number}: {fault}: {cell.strip()[:60]}" for fault in faults(cell.strip()))


def faults(text: str) -> Iterator[str]:
    """Yields what is wrong with a Chinese text; of a text without Han nothing."""
    if not re.search(f"[{HAN}]", text):
        return
    for word, reason in WORDS.items():
        if word in text:
            yield f"{word}: {reason}"
    plain = NO_TEXT.sub("\0", text)
    if re.search("[。，、；：！？（）《》“”] +[^\\n ]|[^\\n ] +[。，、；：！？（）《》“”]", plain):
        yield "a space beside full-width punctuation"
    if re.search(r"[\d)s] +%(?:%|$|[^(\w])", text):
        yield "a space before %"
    if re.search(f"[{HAN}]…(?!…)", plain):
        yield "an ellipsis is ……"
    if re.search(f"[{HAN}][,;:!?]|[,;:!?][{HAN}]", plain):
        yield "punctuation of Latin texts beside Han"
    if re.search(f"[{HAN}][A-Za-z0-9]", re.sub("[日周月](?=K线)K线", "日", plain)):
        yield "no space before Latin letters or digits"
    if re.search(f"[A-Za-z0-9][{HAN}]", NAMES.sub("线", plain)):
        yield "no space after Latin letters or digits"
