"""`[tool.snncc.check]`: what it lets pass, and what it refuses to be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snncc.cli.policy import configured_policy
from snncc.passes.spike_policy import Allowance, Policy

Snncc = Callable[..., Any]

POLICY = """
[tool.snncc.check]
encoder = "grid"
head = "spike"
multi_level = 4
allow = [
    { code = "SNN201", path = "block.0.attn.*", reason = "the published baseline" },
    { code = "SNN203", reason = "none here" },
]
"""


def test_every_key_is_read(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(POLICY)
    (tmp_path / "below").mkdir()
    assert configured_policy(tmp_path / "below") == Policy(
        encoder="grid",
        head="spike",
        multi_level=4,
        allow=(
            Allowance("SNN201", "block.0.attn.*", "the published baseline"),
            Allowance("SNN203", "", "none here"),
        ),
    )


@pytest.mark.parametrize("text", ["", "[tool.snncc]\ntarget = 'loihi2'", "[tool.snncc.check]"])
def test_none_given_is_the_usual_one(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    assert configured_policy(tmp_path) == Policy()


def test_the_check_and_the_compiler_keep_to_it(
    snncc: Snncc, offending: Path, tmp_path: Path
) -> None:
    (tmp_path / "pyproject.toml").write_text(POLICY)
    done = snncc("check", offending, "--allow", "SNN201:block.0.mlp.*", "--format", "json")
    document = json.loads(done.out)
    assert done.code == 1
    assert {f["path"]: f["allowed_by"] for f in document["findings"]} == {
        "patch_embed.proj_conv": None,
        "block.0.attn.q_linear": "policy: SNN201:block.0.attn.*, because the published baseline",
        "block.0.attn.k_linear": "policy: SNN201:block.0.attn.*, because the published baseline",
        "block.0.attn.v_linear": "policy: SNN201:block.0.attn.*, because the published baseline",
        "block.0.mlp.fc1_linear": "option: SNN201:block.0.mlp.*",
        "head": None,
    }
    assert [(n["code"], n["message"]) for n in document["notes"]] == [
        ("SNN208", "the allowance `SNN203` matches no finding")
    ]
    refused = snncc("compile", offending, "--target", "loihi2", "-o", "out")
    assert refused.code == 1
    assert refused.err.count("error[SNN20") == 3
    assert "allowed by: policy: SNN201:block.0.attn.*" not in refused.err


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("encodr = 'any'", "has the unknown key `encodr`, did you mean 'encoder'?"),
        ("x = 1", "has the unknown key `x`: one of encoder, head, multi_level, allow"),
        ("encoder = 'real'", "gives `encoder` the value 'real': one of 'any', 'grid', 'spike'"),
        ("head = true", "gives `head` the value True: one of 'float', 'spike'"),
        ("multi_level = 0", "gives `multi_level` the value 0: wanted a whole number from 1"),
        ("multi_level = true", "gives `multi_level` the value True"),
        ("multi_level = 4.0", "gives `multi_level` the value 4.0"),
        ("allow = 'SNN201'", "gives `allow` no list of tables"),
        ("allow = ['SNN201']", "gives `allow` no list of tables of texts: code, path, reason"),
        ("allow = [{ code = 201 }]", "no list of tables of texts"),
        ("allow = [{ code = 'SNN201' }]", "allows SNN201 without a `reason`"),
        ("allow = [{ code = 'SNN201', reason = ' ' }]", "allows SNN201 without a `reason`"),
        ("allow = [{ code = 'SNN21', reason = 'x' }]", "allows 'SNN21', which is no code: `snncc"),
        ("allow = [{ code = 'SNN201', reason = 'x', paths = 'y' }]", "the unknown key `paths`"),
    ],
)
def test_what_is_no_policy_is_refused(
    snncc: Snncc, tmp_path: Path, table: str, message: str
) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.snncc.check]\n{table}\n")
    done = snncc("check", "nowhere.pth")
    assert (done.code, done.out) == (2, "")
    assert done.err.count("error[SNN920]: `[tool.snncc.check]` ") == 1
    assert message in done.err


def test_no_table_is_no_policy(snncc: Snncc, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.snncc]\ncheck = 3\n")
    done = snncc("check", "nowhere.pth")
    assert done.code == 2
    assert "`[tool.snncc.check]` is no table" in done.err
