"""Decoding of text files that users bring: UTF-8, GBK as Chinese spreadsheets save it, or marked UTF-16."""

import codecs

ENCODINGS = (("utf-8-sig", "UTF-8"), ("gb18030", "GBK"))


def decode_text(content: bytes) -> tuple[str, str]:
    """Returns the text and the name of its encoding. Raises `ValueError` for anything else.

    UTF-16 must begin with its byte order mark. UTF-8 is tried before GBK: text in GBK is hardly ever valid
    UTF-8, but the reverse often is.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        attempts: tuple[tuple[str, str], ...] = (("utf-16", "UTF-16"),)
    else:
        attempts = ENCODINGS
    for codec, name in attempts:
        try:
            text = content.decode(codec)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text, name
    raise ValueError("The text is neither UTF-8 nor GBK.")
