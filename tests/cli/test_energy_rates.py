"""`energy --rates`: the published logs, rates of a small network in every format, and refused."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import snncc.compiler
from snncc.compiler import Checked
from snncc.frontends.load import Model

Snncc = Callable[..., Any]
GOLDEN = Path(__file__).parent.parent / "golden"
LARGE = ("energy", "arch:spikingformer-8-512", "--rates", GOLDEN / "spikingformer-8-512.json")
ATTENTION = [f"block.0.attn.{letter}_lif" for letter in "qkv"]


@pytest.fixture(autouse=True, scope="module")
def traced_once() -> Iterator[None]:
    """A network is traced once in this module, however often the command runs."""
    check, known = snncc.compiler.check_model, dict[str, Checked]()

    def checked(model: Model, **_: Any) -> Checked:
        if model.name not in known:
            known[model.name] = check(model)
        return known[model.name]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snncc.compiler, "check_model", checked)
        yield


@pytest.fixture
def rates(snncc: Snncc, compliant: Path) -> tuple[object, ...]:
    """The command with the small network and rates of a tenth that are in place."""
    document = json.loads(snncc("energy", compliant, *TWIN).out)
    paths = [each["path"] for each in document["layers"] if each["op"] in ("conv", "linear")]
    rows = [(path, 0.1) for path in (*paths, *ATTENTION)]
    with Path("r.csv").open("w", newline="") as out:
        csv.writer(out).writerows([("path", "rate"), *rows])
    return ("energy", compliant, "--rates", "r.csv")


TWIN = ("--energy-model", "ann-45nm", "--format", "json")


def edited(old: str, new: str) -> None:
    text = Path("r.csv").read_text()
    assert old in text
    Path("r.csv").write_text(text.replace(old, new))


@pytest.mark.slow
def test_the_log_of_8_512(snncc: Snncc) -> None:
    document = json.loads(snncc(*LARGE, "--format", "json").out)
    assert document["totals"]["energy_mj"] == pytest.approx(7.463502601886196, rel=1e-12)
    assert document["operations"] == "estimated"
    assert document["convention"] == "spikingformer"
    assert document["published"]["energy_mj"] == 7.463
    assert (document["samples"], document["time_steps"]) == (0, 4)
    assert len(document["layers"]) == 54 + 16
    assert "published: 60.36 % less than spikformer-8-512 (18.82 mJ)" in snncc(*LARGE).out


@pytest.mark.slow
def test_the_published_figure_of_8_768_stands_beside(snncc: Snncc) -> None:
    network = ("energy", "arch:spikingformer-8-768", "--rates", GOLDEN / "spikingformer-8-768.json")
    done = snncc(*network, "--counter-heads", 12)
    assert done.code == 0
    assert "13.6589 mJ a sample" in done.out
    assert "published: 13.678 mJ" in done.out
    assert "published: 57.34 % less than spikformer-8-768" in done.out
    assert "convention: spikingformer, 12 heads" in done.out
    assert max(len(line) for line in done.out.splitlines()) <= 100
    real = snncc(*network, "--compare", *LARGE[1:2], "--compare-rates", LARGE[3])
    assert "13.6747 mJ a sample" in real.out
    assert "7.46350 mJ a sample" in real.out
    assert "Published: 13.68 mJ for A, 7.46 mJ for B: 45.47 % less." in real.out


def test_rates_price_a_network_without_data(snncc: Snncc, rates: tuple[object, ...]) -> None:
    document = json.loads(snncc(*rates, "--format", "json").out)
    assert (document["operations"], document["samples"]) == ("estimated", 0)
    for layer in document["layers"]:
        spikes = layer["role"] == ""
        assert layer["rate"] == (0.1 if spikes else 1)
        assert layer["ac"] == pytest.approx(0.1 * layer["dense_ops"] if spikes else 0)
    assert "work" not in document
    assert max(len(line) for line in snncc(*rates).out.splitlines()) <= 100


def test_what_is_written_can_be_read_again(snncc: Snncc, rates: tuple[object, ...]) -> None:
    once = snncc(*rates, "--format", "csv").out
    assert len(list(csv.DictReader(io.StringIO(once)))) > 10
    Path("again.csv").write_text(once)
    assert snncc(*rates[:3], "again.csv", "--format", "csv").out == once


def test_a_document_of_another_schema_is_refused(snncc: Snncc, rates: tuple[object, ...]) -> None:
    """It may have layers and rates, of something else."""
    document = json.loads(snncc(*rates, "--format", "json").out)
    Path("again.json").write_text(json.dumps(document))
    assert snncc(*rates[:3], "again.json", "--format", "json").code == 0
    Path("other.json").write_text(json.dumps({**document, "schema": "snncc.machine/1"}))
    done = snncc(*rates[:3], "other.json")
    assert (done.code, done.out) == (2, "")
    assert "error[SNN503]" in done.err
    said = " ".join(done.err.split())
    assert "its schema is `snncc.machine/1`, wanted `snncc.energy/1` or none of snncc's" in said
    Path("log.json").write_text(json.dumps({**document, "schema": "somebody's log"}))
    assert snncc(*rates[:3], "log.json").code == 0


def test_every_model_that_needs_no_events(snncc: Snncc, rates: tuple[object, ...]) -> None:
    done = snncc(*rates, "--energy-model", "all", "--format", "json")
    found = {each["energy_model"] for each in json.loads(done.out)["energies"]}
    assert found == {"ann-45nm", "counted-45nm", "paper-45nm"}
    assert "from firing rates, T=2" in snncc(*rates, "--energy-model", "all").out


def test_rates_beside_data(snncc: Snncc, rates: tuple[object, ...], samples: Path) -> None:
    """The same network, once from a file and once from samples, either way round."""
    other = ("--compare", rates[1], "--format", "json")
    there = json.loads(snncc(*rates, *other, "--data", samples).out)
    assert (there["a"]["samples"], there["b"]["samples"]) == (0, 6)
    given = (*rates[:2], "--data", samples, *other, "--compare-rates", "r.csv")
    back = json.loads(snncc(*given).out)
    assert (back["a"], back["b"]) == (there["b"], there["a"])
    text = snncc(*rates, "--compare", rates[1], "--data", samples).out
    assert "The two are not priced on the same samples." in text


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("mlp1_conv,0.1", "mlp1_conv,1.01", "is 1.01, wanted a number from 0 to 1"),
        ("mlp1_conv,0.1", "mlp1_conv,-0.1", "is -0.1, wanted a number from 0 to 1"),
        ("mlp1_conv,0.1", "mlp1_conv,nan", "is nan, wanted a number from 0 to 1"),
        ("mlp1_conv,0.1", "mlp1_conv,much", "is 'much', wanted a number"),
        ("block.0.mlp.mlp1_conv,0.1\n", "", "there is no rate of `block.0.mlp.mlp1_conv`"),
        ("block.0.mlp.mlp1_conv", "block.7.mlp.mlp1_conv", "has no layer `block.7.mlp.mlp1_conv`"),
        ("block.0.mlp.mlp1_conv", "block.0.mlp.mlp2_conv", "is given twice"),
        ("path,rate", "layer,share", "wanted a heading with the columns `path` and `rate`"),
    ],
)
@pytest.mark.parametrize("side", ["mine", "theirs"])
def test_bad_rates(
    snncc: Snncc, rates: tuple[object, ...], samples: Path, old: str, new: str, message: str,
    side: str,
) -> None:  # fmt: skip
    edited(old, new)
    compared = (*rates[:2], "--data", samples, "--compare", rates[1], "--compare-rates", "r.csv")
    done = snncc(*(rates if side == "mine" else compared))
    assert (done.code, done.out) == (2, "")
    assert done.err.count("error[") == 1
    assert "error[SNN503]" in done.err
    assert message in " ".join(done.err.split())


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--rates", "nowhere.csv"), "SNN503"),
        (("--convention", "sdt", "--counter-heads", 12), "SNN504"),
        (("--data", "x.npz"), "SNN504"),
        (("--energy-model", "loihi1-sanafe"), "SNN504"),
        (("--energy-model", "lemaire2022"), "SNN504"),
    ],
)
def test_options_that_contradict_each_other(
    snncc: Snncc, rates: tuple[object, ...], options: tuple[object, ...], code: str
) -> None:
    done = snncc(*rates, *options)
    assert (done.code, done.out) == (2, "")
    assert done.err.count("error[") == 1
    assert f"error[{code}]" in done.err


def test_a_convention_needs_an_estimate(snncc: Snncc, compliant: Path) -> None:
    given = ("--data", "x", "--energy-model", "counted-45nm", "--convention", "sdt")
    done = snncc("energy", compliant, *given)
    assert (done.code, done.out) == (2, "")
    assert "error[SNN504]" in done.err
