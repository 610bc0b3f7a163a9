"""Escapes text from data for Markdown, so that it makes no link, no picture and no heading."""

from __future__ import annotations

import re

from refit.rendering.document import shorten, shown_as_text

_SPECIAL = re.compile(r"[\\`*_\[\]<>&|~!#:@]|(?<=www)\.", re.IGNORECASE)
"""Characters that begin inline constructs of GitHub's Markdown, including automatic links."""
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
_LONGEST = 600


def markdown_text(text: str, most: int = _LONGEST) -> str:
    r"""
    Return *text* as one line of Markdown, cut to *most* characters before escaping.

    >>> print(markdown_text("worse in country=![x](http://a.b)\n# Approve"))
    worse in country=\!\[x\](http\://a.b) \# Approve
    """
    return _SPECIAL.sub(r"\\\g<0>", shorten(" ".join(shown_as_text(text).split()), most))


def plain_text(markdown: str) -> str:
    r"""
    Return *markdown* for a terminal, without the backslashes of `markdown_text`.

    >>> plain_text(markdown_text("recall@20 is +0.1, a_b"))
    'recall@20 is +0.1, a_b'
    """
    return _ESCAPED.sub(r"\1", markdown)
