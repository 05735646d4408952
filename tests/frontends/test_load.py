"""What the user calls a model: files, `arch:` names, factories; settings and their faults."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from snncc.diagnostics.core import SnnccError
from snncc.frontends.load import import_model, load_model
from snncc.models.zoo import FORMS

TINY: dict[str, Any] = {"depth": 2, "dim": 32, "heads": 4, "img_size": 16, "classes": 5}
FACTORY = """
import torch
from torch import nn

def build():
    return nn.Linear(4, 2)

def with_example():
    return nn.Linear(4, 2), torch.zeros(1, 4)

def broken():
    raise ValueError("no such data set")

def a_class():
    return nn.Linear

def no_batch():
    return nn.Linear(4, 2), torch.zeros(4)
"""


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: Any) -> str:
    """A module with factories, to be imported from the working directory."""
    name = f"factories_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    return name


def saved(path: Path, form: str, args: dict[str, Any] | None = None, **sizes: Any) -> nn.Module:
    """Save a small network of a form as its training program does, and return it."""
    network = FORMS[form].build(**{**TINY, **sizes})
    stored = {"state_dict": network.state_dict(), "args": argparse.Namespace(**(args or {}))}
    torch.save(stored, path)
    return network


def refusals(spec: str, **options: Any) -> list[tuple[str, str]]:
    """Codes and messages of the findings."""
    with pytest.raises(SnnccError) as caught:
        load_model(spec, **options)
    return [(d.rule.code, d.message) for d in caught.value.diagnostics]


def test_provenance_names_where_each_number_is_from(tmp_path: Path) -> None:
    saved(tmp_path / "c.pth.tar", "spikingformer-cifar", {"num_heads": 4})
    model = load_model(str(tmp_path / "c.pth.tar"), settings={"T": "2", "img_size": "16"})
    origins = {setting.name: setting.origin for setting in model.provenance}
    assert origins == {
        "variant": "shapes", "dim": "shapes", "depth": "shapes", "classes": "shapes",
        "in_channels": "shapes", "mlp_ratio": "shapes", "heads": "args", "T": "--set",
        "img_size": "--set", "pool_stages": "official default", "tau": "official default",
        "v_threshold": "official default", "attn_v_threshold": "official default",
    }  # fmt: skip
    assert str(model.provenance[3]) == "heads = 4 (args)"
    assert (model.steps, model.input_shape) == (2, (3, 16, 16))
    assert model.example_inputs[0].shape == (2, 3, 16, 16)


def test_settings_go_before_arguments(tmp_path: Path) -> None:
    saved(tmp_path / "c.pth.tar", "spikingformer", {"num_heads": 4})
    model = load_model(str(tmp_path / "c.pth.tar"), settings={"heads": "2", "pool_stages": "3,4"})
    assert (model.options["heads"], model.options["pool_stages"]) == (2, (3, 4))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"heads": "five"}, "`heads=five`: wanted a whole number"),
        ({"tau": "x"}, "`tau=x`: wanted a number"),
        ({"tau": "nan"}, "`tau=nan`: wanted a number"),
        ({"v_threshold": "inf"}, "`v_threshold=inf`: wanted a number"),
        ({"v_threshold": "-1"}, "`v_threshold=-1`: wanted more than 0"),
        ({"heads": "5"}, "dim must be a multiple of heads, got 32 and 5"),
        ({"heads": "0"}, "heads must be at least 1, got 0"),
        ({"tau": "0.5"}, "tau must be above 1, got 0.5"),
        ({"T": "-1"}, "T must be at least 1, got -1"),
        ({"dim": "64"}, "`dim=64`, but it is 32"),
    ],
)
def test_settings_that_cannot_be(tmp_path: Path, settings: dict[str, str], message: str) -> None:
    saved(tmp_path / "c.pth.tar", "spikingformer-cifar", {"num_heads": 4})
    assert refusals(str(tmp_path / "c.pth.tar"), settings=settings) == [("SNN108", message)]


def test_a_variant_with_weights_of_equal_names_can_be_asked_for(tmp_path: Path) -> None:
    saved(tmp_path / "c.pth.tar", "spikingformer", {"num_heads": 4})
    path = str(tmp_path / "c.pth.tar")
    model = load_model(path, settings={"variant": "imagenet-cml"})
    assert (model.options["variant"], model.name) == ("imagenet-cml", "spikingformer-cml-2-32")
    ((code, message),) = refusals(path, settings={"variant": "cloud"})
    assert code == "SNN108"
    assert message.startswith("`variant=cloud`: spikingformer has imagenet, cifar, dvs")
    assert refusals(path, settings={"variant": "cifar"})[0][0] == "SNN109"


EQUAL = "the likelier of variants with equal weights: "


@pytest.mark.parametrize(
    ("form", "sizes", "other"),
    [
        ("spikingformer", {}, "imagenet-cml"),
        ("spikingformer-dvs", {"img_size": 128}, "dvs-cml"),
        (
            "spikingformer-cml-cifar",
            {"classes": 10, "dim": 48},
            "imagenet` or `--set variant=imagenet-cml",
        ),
        ("sdt", {}, "cifar"),
    ],
)
def test_a_variant_that_shapes_do_not_tell_says_so_and_how_to_take_the_other(
    tmp_path: Path, form: str, sizes: dict[str, Any], other: str
) -> None:
    saved(tmp_path / "c.pth.tar", form, **sizes)
    path = str(tmp_path / "c.pth.tar")
    found = load_model(path).provenance[0]
    assert (found.name, found.value) == ("variant", FORMS[form].options["variant"])
    assert found.origin == f"{EQUAL}`--set variant={other}` takes another"
    other = other.split("`", maxsplit=1)[0]
    chosen = load_model(path, settings={"variant": other}).provenance[0]
    assert (chosen.value, chosen.origin) == (other, "--set")


def test_cml_is_short_for_the_variant_that_fits(tmp_path: Path) -> None:
    for form, wanted in (("spikingformer", "imagenet-cml"), ("spikingformer-dvs", "dvs-cml")):
        saved(tmp_path / "c.pth.tar", form, img_size=128)
        model = load_model(str(tmp_path / "c.pth.tar"), settings={"variant": "cml"})
        assert model.options["variant"] == wanted


def test_averaged_weights_are_taken_when_asked_for(tmp_path: Path) -> None:
    network = FORMS["spikingformer-cifar"].build(**TINY)
    trained = network.state_dict()
    averaged = {f"module.{name}": torch.zeros_like(w) for name, w in trained.items()}
    averaged["n_averaged"] = torch.tensor(7)
    args = {"num_heads": 4, "img_size": 16}
    torch.save({"state_dict": trained, "state_dict_ema": averaged, "args": args}, tmp_path / "c.pt")
    path = str(tmp_path / "c.pt")
    model = load_model(path)
    assert str(model.provenance[-1]) == (
        "weights = state_dict (default; `--set weights=ema` takes state_dict_ema)"
    )
    assert torch.equal(model.module.state_dict()["head.weight"], trained["head.weight"])
    model = load_model(path, settings={"weights": "ema"})
    assert str(model.provenance[-1]) == "weights = state_dict_ema (--set)"
    assert not model.module.state_dict()["head.weight"].any()
    assert refusals(path, settings={"weights": "best"}) == [
        ("SNN108", "`weights=best`: wanted trained or ema")
    ]
    saved(tmp_path / "plain.pt", "spikingformer-cifar")
    ((code, message),) = refusals(str(tmp_path / "plain.pt"), settings={"weights": "ema"})
    assert (code, message.endswith("has no running average of the weights")) == ("SNN108", True)


def test_all_wrong_settings_are_named_at_once() -> None:
    found = refusals("arch:spikingformer-8-512", settings={"head": "1", "T": "four"})
    assert [code for code, _ in found] == ["SNN108", "SNN108"]
    assert found[0][1].startswith("spikingformer-8-512 has no option `head`: there are T, ")


def test_weights_of_no_known_family(tmp_path: Path) -> None:
    torch.save(nn.Sequential(nn.Linear(3, 2)).state_dict(), tmp_path / "c.pth")
    ((code, message),) = refusals(str(tmp_path / "c.pth"))
    assert code == "SNN107"
    assert message == "the 2 weights are of no family that is known; they begin with `0`"


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    network = saved(tmp_path / "c.pth.tar", "spikingformer-cifar", {"num_heads": 4})
    weights = network.state_dict()
    del weights["block.1.mlp.mlp2_bn.weight"]
    weights["block.0.attn.q_conv.weight"] = torch.zeros(32, 32, 3)
    weights |= {f"extra.{i}": torch.zeros(1) for i in range(6)}
    torch.save({"state_dict": weights, "args": {"num_heads": 4}}, tmp_path / "c.pth.tar")
    start = f"of {len(network.state_dict())} weights of spikingformer-cifar-2-32 are"
    extra = "`extra.0`, `extra.1`, `extra.2`, `extra.3` and 2 more"
    shape = "`block.0.attn.q_conv.weight (32, 32, 3) for (32, 32, 1)`"
    assert refusals(str(tmp_path / "c.pth.tar")) == [
        ("SNN109", f"1 {start} missing: `block.1.mlp.mlp2_bn.weight`"),
        ("SNN109", f"6 {start} unknown: {extra}"),
        ("SNN109", f"1 {start} of another shape: {shape}"),
    ]


def test_a_published_network_has_no_weights() -> None:
    model = load_model("arch:spikformer-cifar-2-384", settings={"T": "2"})
    assert next(model.module.parameters()).is_meta
    assert (model.name, model.steps, model.input_shape) == (
        "spikformer-cifar-2-384",
        2,
        (3, 32, 32),
    )


def test_published_names_are_corrected() -> None:
    with pytest.raises(SnnccError) as caught:
        load_model("arch:spikingformer-8-510")
    assert caught.value.diagnostics[0].rule.code == "SNN110"
    assert "spikingformer-8-512" in caught.value.diagnostics[0].hint


@pytest.mark.parametrize("spec", ["spikingformer", "nothing at all", "a:b:c", ":build", "x:"])
def test_what_is_no_name_of_a_model(spec: str) -> None:
    assert [code for code, _ in refusals(spec)] == ["SNN110"]


def test_a_factory(factories: str) -> None:
    model = load_model(f"{factories}:with_example")
    assert isinstance(model.module, nn.Linear)
    assert (model.input_shape, model.example_inputs[0].shape) == ((4,), (2, 4))
    assert load_model(f"{factories}:build", example_shape=(4,)).input_shape == (4,)
    assert [op.kind for op in import_model(f"{factories}:with_example")] == [
        "input", "linear", "output",
    ]  # fmt: skip


def test_a_factory_with_weights_from_a_file(factories: str, tmp_path: Path) -> None:
    weights = {"weight": torch.full((2, 4), 3.0), "bias": torch.zeros(2)}
    torch.save({"model": weights}, tmp_path / "w.pth")
    model = load_model("w.pth", network=f"{factories}:with_example")
    assert torch.equal(model.module.state_dict()["weight"], weights["weight"])
    torch.save({"model": {"weight": weights["weight"]}}, tmp_path / "w.pth")
    assert refusals("w.pth", network=f"{factories}:with_example") == [
        ("SNN109", f"1 of 2 weights of `{factories}:with_example` are missing: `bias`")
    ]


@pytest.mark.parametrize(
    ("factory", "code", "message"),
    [
        ("broken", "SNN111", "failed: ValueError: no such data set"),
        ("missing", "SNN111", "has no attribute 'missing'"),
        ("a_class", "SNN111", "returned a `type`: wanted a module, or a module and an example"),
        ("build", "SNN112", "nothing says how large the input of `build` is"),
        ("no_batch", "SNN112", "the example input of `no_batch` has shape (4,)"),
    ],
)
def test_factories_that_fail(factories: str, factory: str, code: str, message: str) -> None:
    ((found, text),) = refusals(f"{factories}:{factory}")
    assert (found, message in text) == (code, True)


def test_a_factory_that_cannot_be_imported() -> None:
    ((code, message),) = refusals("no_such_package.module:build")
    assert code == "SNN111"
    assert "ModuleNotFoundError" in message
    assert refusals("x.pth", network="not a factory")[0][0] in ("SNN101", "SNN110")


def test_settings_need_a_known_family(factories: str) -> None:
    found = refusals(f"{factories}:with_example", settings={"heads": "2"})
    assert [code for code, _ in found] == ["SNN108"]


def test_a_pickled_module(tmp_path: Path) -> None:
    torch.save(nn.Linear(4, 2), tmp_path / "net.pth")
    path = str(tmp_path / "net.pth")
    assert refusals(path)[0][0] == "SNN104"
    assert refusals(path, trust_pickle=True)[0][0] == "SNN112"
    model = load_model(path, trust_pickle=True, example_shape=(4,))
    assert (type(model.module), model.name) == (nn.Linear, "net")


def test_a_pickled_module_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_net.py").write_text("from torch import nn\nclass Net(nn.Linear): pass\n")
    program = "import torch, own_net; torch.save(own_net.Net(4, 2), 'net.pth')"
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    model = load_model("net.pth", trust_pickle=True, example_shape=(4,))
    assert type(model.module).__name__ == "Net"


def test_the_digits_example() -> None:
    root = Path(__file__).parents[2]
    graph = import_model(str(root / "examples/digits/spikingformer.pth.tar"))
    assert graph.type_of("output").shape == (2, 10)
