"""What `docs/scale.md` shows works, and its numbers are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

from snncc.diagnostics.catalogue import all_rules
from snncc.execute import counts
from snncc.execute.shards import plan

TEXT = (Path(__file__).parents[2] / "docs" / "scale.md").read_text()


def test_the_numbers_are_those_of_the_code() -> None:
    text = " ".join(TEXT.split())
    assert f"batches of {counts.BATCH}" in text
    assert f"about {plan.SHARD_SECONDS:.0f} seconds" in text
    assert f"at most {plan.SHARD_BYTES >> 20} MiB" in text


def test_the_codes_are_rules() -> None:
    codes = set(re.findall(r"SNN\d+", TEXT))
    assert codes == {"SNN932", "SNN934", "SNN935"}
    assert codes <= set(all_rules())
