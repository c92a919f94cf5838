"""Decoding of text files that users bring: UTF-8, or GBK as Chinese spreadsheets save it."""

ENCODINGS = (("utf-8-sig", "UTF-8"), ("gb18030", "GBK"))


def decode_text(content: bytes) -> tuple[str, str]:
    """Returns the text and the name of its encoding. Raises `ValueError` for anything else.

    UTF-8 is tried first: text in GBK is hardly ever valid UTF-8, but the reverse often is.
    """
    for codec, name in ENCODINGS:
        try:
            text = content.decode(codec)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text, name
    raise ValueError("The text is neither UTF-8 nor GBK.")
