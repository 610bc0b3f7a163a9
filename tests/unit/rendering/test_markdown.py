"""Text from data in Markdown, read by an implementation of GitHub's kind."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from refit.rendering.markdown import markdown_text, plain_text

READER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
HOSTILE = [
    "![x](https://example.org/pixel.png)",
    "[Approve here](https://example.org)",
    "a\n\n# Approve",
    "a\r# Approve",
    "a\u2028# Approve",
    "<img src=x onerror=alert(1)>",
    "<https://example.org>",
    "https://example.org",
    "www.example.org",
    "somebody@example.org",
    "`code` *bold* __bold__ ~~gone~~",
    "a | b\n|---|---|\n| c | d |",
    "&lt;b&gt; &#35; \\",
    "a\x1b[31m\u202e",
    "x" * 5_000,
]


def shown(markdown: str) -> list[str]:
    """Return the kinds of everything that a reader makes of an entry of a list."""
    return [
        child.type
        for token in READER.parse(f"- worse in cohort country={markdown}: ndcg@20 is -0.1\n\nafter")
        for child in [token, *(token.children or [])]
    ]


@pytest.mark.parametrize("value", HOSTILE)
def test_a_value_from_data_is_text_and_nothing_else(value: str) -> None:
    assert shown(markdown_text(value)) == shown("France")
    assert "\x1b" not in markdown_text(value)
    assert len(markdown_text(value)) < 1_300


@given(st.text(max_size=60))
@settings(max_examples=300)
def test_whatever_it_is(value: str) -> None:
    assert set(shown("x" + markdown_text(value))) <= {*shown("France"), "text_special"}


@pytest.mark.parametrize("value", HOSTILE)
def test_no_address_becomes_a_link_by_itself(value: str) -> None:
    """GitHub's kind makes links of bare addresses; behind a backslash none of them begins."""
    assert not re.search(r"(?<!\\)://|www\.\w|\w@\w", markdown_text(value))


@pytest.mark.parametrize("value", ["ndcg@20 is +0.1 (95% interval -0.1 to +0.2)", "a_b*c", "C:\\dir"])
def test_a_terminal_shows_what_was_written(value: str) -> None:
    assert plain_text(markdown_text(value)) == value
