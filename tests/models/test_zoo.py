"""Every named network: its parameter count, its input, its options."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from snncc.models.zoo import ARCHITECTURES, FORMS, SIZES

# Counted on the official modules. Each block's two dead layer norms are in: 2 * 2 * dim.
PARAMETERS = {
    "spikingformer-8-384": 16_828_312,
    "spikingformer-8-512": 29_705_768,
    "spikingformer-8-768": 66_363_208,
    "spikingformer-cifar-4-256": 4_156_202,
    "spikingformer-cifar-2-384": 5_765_818,
    "spikingformer-cifar-4-384": 9_326_266,
    "spikingformer-cifar100-4-384": 9_326_266 + 90 * (384 + 1),
    "spikingformer-dvs-2-256": 2_568_714,
    "spikingformer-gesture-2-256": 2_568_971,
    "spikformer-8-384": 16_828_312,
    "spikformer-6-512": 23_385_640,
    "spikformer-8-512": 29_705_768,
    "spikformer-10-512": 36_025_896,
    "spikformer-8-768": 66_363_208,
    # As Spikingformer, with biases on queries, keys and values.
    "spikformer-cifar-4-256": 4_156_202 + 4 * 3 * 256,
    "spikformer-cifar-2-384": 5_765_818 + 2 * 3 * 384,
    "spikformer-cifar-4-384": 9_326_266 + 4 * 3 * 384,
    # As Spikingformer, with the dead `pos_embed` (64 tokens) and `norm`.
    "spikformer-dvs-2-256": 2_568_714 + 64 * 256 + 2 * 256,
    # As the forms that pool spikes: no parameter depends on where the pools stand.
    "spikformer-cml-cifar-4-256": 4_156_202 + 4 * 3 * 256,
    "spikformer-cml-cifar-2-384": 5_765_818 + 2 * 3 * 384,
    "spikformer-cml-cifar-4-384": 9_326_266 + 4 * 3 * 384,
    "spikingformer-cml-8-384": 16_828_312,
    "spikingformer-cml-8-512": 29_705_768,
    "spikingformer-cml-8-768": 66_363_208,
    "spikingformer-cml-cifar-4-256": 4_156_202,
    "spikingformer-cml-cifar-2-384": 5_765_818,
    "spikingformer-cml-cifar-4-384": 9_326_266,
    "spikingformer-cml-cifar100-4-384": 9_326_266 + 90 * (384 + 1),
    "spikingformer-cml-dvs-2-256": 2_568_714,
    "spikingformer-cml-gesture-2-256": 2_568_971,
    # Each block's dead `talking_heads` is in: 8 * 8.
    "sdt-8-384": 16_816_536,
    "sdt-6-512": 23_373_736,
    "sdt-8-512": 29_689_896,
    "sdt-10-512": 36_006_056,
    "sdt-8-768": 66_339_144,
    "sdt-cifar-2-256": 2_567_082,
    "sdt-cifar-2-512": 10_233_546,
    "sdt-cifar100-2-256": 2_567_082 + 90 * (256 + 1),
    "sdt-cifar100-2-512": 10_279_716,
    "sdt-dvs-2-256": 2_566_794,
    "sdt-gesture-2-256": 2_567_051,
    "spikeformer-7-3x2x4": 39_320_836,
    "spikeformer-dvs-7-3x2x3": 8_792_993,
    "spikeformer-gesture-7-5x3x1": 9_279_900,
    **{
        f"sew-resnet{layers}-{connect}": count
        for layers, count in (
            (18, 11_689_512), (34, 21_797_672), (50, 25_557_032), (101, 44_549_160),
            (152, 60_192_808),
        )
        for connect in ("add", "and", "iand")
    },
    **{f"sew-resnet-dvs-{connect}": 1_192_218 for connect in ("add", "and", "iand")},
    **{f"sew-resnet-gesture-{connect}": 130_426 for connect in ("add", "and", "iand")},
    "ms-resnet18": 11_693_736,
    "ms-resnet34": 21_801_896,
    "ms-resnet104": 77_350_504,
    "meta-spikeformer-8-384": 31_333_864,
    "meta-spikeformer-8-512": 55_350_248,
    "meta-spikeformer-8-768": 123_741_160,
    "e-spikeformer-base-t": 2_702_048,
    "e-spikeformer-base-s": 5_105_608,
    "e-spikeformer-base-m": 10_023_112,
    "e-spikeformer-base-l": 18_987_504,
    # With the second head.
    "e-spikeformer-large-12-512": 83_015_952,
    "e-spikeformer-large-12-768": 171_740_714,
    "qkformer-10-384": 16_473_688,
    "qkformer-10-512": 29_079_336,
    "qkformer-10-768": 64_962_760,
    "qkformer-cifar-4-384": 6_706_234,
    "qkformer-cifar100-4-384": 6_706_234 + 90 * (384 + 1),
    "msvit-10-384": 17_686_216,
    "msvit-10-512": 31_232_616,
    "msvit-10-768": 69_802_408,
    "msvit-cifar-4-384": 7_558_762,
    # Its second scale is 1 wide, not 3, in two blocks of 192 channels.
    "msvit-cifar100-4-384": 7_558_762 + 90 * (384 + 1) - 2 * 2 * 192 * 192,
    "spikeyolo-n": 13_271_632,
    "spikeyolo-s": 23_153_024,
    "spikeyolo-m": 47_841_856,
    "spikeyolo-l": 68_478_400,
}  # fmt: skip


def test_every_network_is_counted() -> None:
    assert PARAMETERS.keys() == ARCHITECTURES.keys() == SIZES.keys()


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_and_shapes(name: str) -> None:
    arch = ARCHITECTURES[name]
    with torch.device("meta"):
        model = arch.build().eval()
        logits = model(torch.empty(2, *arch.input_shape))
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name]
    if arch.family == "spikeyolo":  # 80 classes and 4 x 16 distances, in strides 8, 16 and 32
        assert logits.shape == (2, 144, 80 * 80 + 40 * 40 + 20 * 20)
    else:
        assert logits.shape == (2, arch.config.classes)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_name_says_family_and_size(name: str) -> None:
    arch = ARCHITECTURES[name]
    assert arch.name == name
    assert name.startswith(arch.family)
    if {"depth", "dim"} <= arch.options.keys():
        depth, dim = name.split("-")[-2:]
        assert (arch.config.depth, arch.config.dim) == (int(depth), int(dim))


@pytest.mark.parametrize("name", FORMS)
def test_a_form_is_named_after_its_family(name: str) -> None:
    assert FORMS[name].name == name
    assert name.startswith(FORMS[name].family)


def test_input_shapes() -> None:
    assert ARCHITECTURES["spikingformer-8-512"].input_shape == (3, 224, 224)
    assert ARCHITECTURES["spikformer-cifar-4-384"].input_shape == (3, 32, 32)
    events = ARCHITECTURES["spikingformer-dvs-2-256"]
    assert events.input_shape == (16, 2, 128, 128)
    assert events.configure(T=10).input_shape == (10, 2, 128, 128)


def test_what_shapes_cannot_tell_has_the_official_default() -> None:
    heads = {name: arch.options.get("heads") for name, arch in ARCHITECTURES.items()}
    assert {heads[f"spikingformer-8-{dim}"] for dim in (384, 512, 768)} == {8}
    assert (heads["spikingformer-cifar-4-384"], heads["spikingformer-cifar100-4-384"]) == (12, 8)
    assert heads["spikformer-dvs-2-256"] == 16
    assert FORMS["spikingformer-dvs"].config.tau == 1.5
    assert FORMS["spikformer-dvs"].config.tau == 2.0
    assert (FORMS["sew-resnet"].config.T, FORMS["ms-resnet"].config.T) == (4, 6)


def test_networks_in_stages_have_the_official_default() -> None:
    for family, threshold in (("qkformer", 0.5), ("msvit", 1.0)):
        configs = [ARCHITECTURES[f"{family}-10-{dim}"].config for dim in (384, 512, 768)]
        assert [c.heads for c in configs] == [6, 8, 12]
        assert {(c.depths, c.attn_v_threshold, c.T) for c in configs} == {((1, 2, 7), threshold, 4)}
        small = ARCHITECTURES[f"{family}-cifar-4-384"].config
        assert (small.heads, small.depths, small.attn_v_threshold) == (8, (1, 1, 2), threshold)
    meta = ARCHITECTURES["meta-spikeformer-8-384"].config
    assert (meta.depth, meta.dim, meta.heads, meta.T, meta.kd) == (8, 384, 8, 4, False)
    large = ARCHITECTURES["e-spikeformer-large-12-768"].config
    assert (large.depth, large.dim, large.T, large.levels, large.kd) == (12, 768, 1, 4, True)
    assert large.time_in_input is False


def test_options_can_be_overridden_and_are_listed() -> None:
    arch = ARCHITECTURES["spikingformer-cifar-4-384"]
    changed = arch.configure(heads=4, T=2, classes=7, img_size=16)
    assert (changed.options["heads"], changed.options["T"]) == (4, 2)
    assert arch.options["heads"] == 12
    with torch.device("meta"):
        assert changed.build(depth=1)(torch.empty(1, 3, 16, 16)).shape == (1, 7)


def test_an_unknown_option_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="spikformer-8-384 has no option `head`"):
        ARCHITECTURES["spikformer-8-384"].build(head=4)


def test_listing_the_zoo_does_not_import_torch() -> None:
    code = "import sys, snncc.models.zoo; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
