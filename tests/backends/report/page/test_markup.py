"""Nothing that comes in as text becomes markup."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snncc.backends.report.page.markup import Markup, element, script_json, text
from snncc.backends.report.page.prose import html_of, inline


class Seen(HTMLParser):
    """Collects what a browser would make of a document."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words = ""
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.words += data


PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_categories=["C"]))


@given(PRINTABLE)
def test_text_stays_text(words: str) -> None:
    seen = Seen(element("p", words))
    assert (seen.tags, seen.words) == (["p"], words)


@given(PRINTABLE)
def test_an_attribute_stays_an_attribute(words: str) -> None:
    seen = Seen(element("p", "x", title=words, data_node=words))
    assert seen.attributes == [("title", words), ("data-node", words)]
    assert seen.words == "x"


@given(st.lists(st.text(max_size=9) | st.integers() | st.none(), max_size=4))
def test_json_in_a_script_ends_no_script(value: object) -> None:
    written = script_json(value)
    assert not set(written) & set("<>&\u2028\u2029")
    assert json.loads(written) == value


def test_what_no_document_may_hold_is_shown_escaped() -> None:
    assert element("p", "a\x00b\x1b[2J\ud800") == "<p>a\\x00b\\x1b[2J\\ud800</p>"
    assert script_json("\u2028</script><!--") == '"\\u2028\\u003c/script\\u003e\\u003c!--"'


def test_markup_goes_in_once() -> None:
    assert element("p", element("b", "<"), "<") == "<p><b>&lt;</b>&lt;</p>"
    assert text([Markup("<i>"), None, "&"]) == "<i>&amp;"


def test_attributes_that_are_off_are_left_out() -> None:
    assert element("details", "x", open=True, id=None, hidden=False) == "<details open>x</details>"


def test_a_name_of_an_element_is_no_place_for_text() -> None:
    with pytest.raises(ValueError, match="no name of an element"):
        element("p onload=x", "")


def test_explanations_have_paragraphs_lists_and_code() -> None:
    found = html_of("One `a<b`.\nStill.\n\n- x\n- y\n\n```sh\nsnncc <x>\n```\n")
    assert found == (
        "<p>One <code>a&lt;b</code>. Still.</p><ul><li>x</li><li>y</li></ul>"
        "<pre><code>snncc &lt;x&gt;</code></pre>"
    )


def test_a_fence_that_does_not_end_is_shown() -> None:
    assert html_of("```\n<b>") == "<pre><code>&lt;b&gt;</code></pre>"


@given(PRINTABLE)
def test_inline_code_loses_no_word(words: str) -> None:
    seen = Seen(text(inline(words)))
    assert set(seen.tags) <= {"code"}
    assert seen.words.replace("`", "") == words.replace("`", "")
