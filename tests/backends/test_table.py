"""Tables of at most 100 columns that lose nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from snncc.backends.report.table import WIDTH, broken, fitted, paragraph, table


@given(
    st.text(st.characters(categories=("L", "P"), exclude_characters=" "), max_size=120),
    st.integers(8, 60),
)
def test_nothing_is_lost_and_no_line_is_too_long(text: str, width: int) -> None:
    lines = broken(text, width)
    assert all(len(line) <= width for line in lines)
    assert lines[0] + "".join(line[2:] for line in lines[1:]) == text


def test_names_break_behind_a_dot() -> None:
    path = "model.patch_embed.conv_layers.0.residual_function.0.0.0"
    assert broken(path, 34) == ["model.patch_embed.conv_layers.0.", "  residual_function.0.0.0"]
    assert broken(path, 60) == [path]
    assert broken("a sentence of six short words", 12) == [
        "a sentence",
        "  of six",
        "  short",
        "  words",
    ]


def test_long_texts_take_more_lines() -> None:
    path = ".".join(["block", *(f"layer{i}" for i in range(9))])
    text = table((("product", False), ("reads", False), ("times", True)), [(path, path, "12")])
    heading, rule, *rows = text.splitlines()
    assert max(map(len, text.splitlines())) <= WIDTH
    assert len(rows) == 2
    assert rows[0].endswith("     12")
    assert "".join(row[: rule.count("-")].split()[0] for row in rows) == path
    assert heading.split() == ["product", "reads", "times"]


def test_a_narrow_terminal_gets_narrow_text() -> None:
    rows = [("a.long.path.of.a.layer.in.a.network.of.blocks", "3.5"), ("b", "12.25")]
    with fitted(30):
        narrow = table((("layer", False), ("energy", True)), rows) + paragraph("some words " * 9)
    assert max(map(len, narrow.splitlines())) <= 30
    assert max(map(len, table((("layer", False), ("energy", True)), rows).splitlines())) > 30
