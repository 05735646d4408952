"""Files that lie: each is refused with one finding, before anything of its size is allocated."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from snncc.cli.guard import guarded
from snncc.diagnostics.core import SnnccError
from snncc.frontends.load import load_model
from snncc.frontends.onnx import limits

Save = Callable[..., Path]
Make = Callable[..., onnx.ModelProto]


def refusal(path: Path) -> tuple[str, str]:
    """The code and the message of the one finding; reading takes little memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(SnnccError) as caught:
        load_model(str(path))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 512 << 10  # KiB, most of them torch's own modules
    (found,) = caught.value.diagnostics
    assert len(found.message) < 2000
    return found.rule.code, found.message


@pytest.fixture
def sound(unrolled: Make) -> onnx.ModelProto:
    return unrolled(T=2)


@pytest.mark.parametrize("kept", [1, 10, 100, 1000])
def test_a_file_that_is_cut_off(kept: int, sound: onnx.ModelProto, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(sound.SerializeToString()[:-kept])
    assert refusal(tmp_path / "net.onnx")[0] == "SNN160"


@pytest.mark.parametrize(
    "content", [b"PK\x03\x04 no model", b"\x00" * 100, b"\x08\x08", b"text, no model"]
)
def test_a_file_of_something_else(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(content)
    assert refusal(tmp_path / "net.onnx")[0] == "SNN160"


def test_a_node_of_endless_inputs(sound: onnx.ModelProto, tmp_path: Path) -> None:
    """Each of them would be added to what came before."""
    node = next(node for node in sound.graph.node if node.op_type == "Add")
    node.op_type = "Sum"
    node.input.extend([node.input[0]] * 100_000)
    (tmp_path / "net.onnx").write_bytes(sound.SerializeToString())
    code, message = refusal(tmp_path / "net.onnx")
    assert code == "SNN162"
    assert "has a node of 100,002 inputs" in message


def test_no_file_and_an_empty_one(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.onnx")[0] == "SNN101"
    (tmp_path / "empty.onnx").touch()
    assert refusal(tmp_path / "empty.onnx")[0] == "SNN103"


@pytest.mark.parametrize("dims", [[10**15], [2**40, 2**40], [-1, 4], [7, 4], [1] * 60])
def test_a_weight_of_another_size_than_is_stored(
    dims: list[int], sound: onnx.ModelProto, saved: Save
) -> None:
    del sound.graph.initializer[0].dims[:]
    sound.graph.initializer[0].dims.extend(dims)
    code, message = refusal(saved(sound))
    assert code == "SNN160"
    assert "`fc1.weight`" in message


@pytest.mark.parametrize("places", [2**40, 2**62])
def test_an_input_of_a_huge_shape(places: int, sound: onnx.ModelProto, saved: Save) -> None:
    sound.graph.input[0].type.tensor_type.shape.dim[1].dim_value = places
    assert refusal(saved(sound))[0] == "SNN162"


@pytest.mark.parametrize(
    ("operator", "attributes"),
    [("Expand", {}), ("ConstantOfShape", {}), ("Tile", {})],
)
def test_a_value_of_a_huge_shape(
    operator: str, attributes: dict[str, Any], sound: onnx.ModelProto, saved: Save
) -> None:
    huge = np.array([2**30, 2**30], np.int64)
    sound.graph.initializer.append(numpy_helper.from_array(huge, "huge"))
    inputs = ["huge"] if operator == "ConstantOfShape" else ["x", "huge"]
    sound.graph.node.insert(0, helper.make_node(operator, inputs, ["big"], "big"))
    assert refusal(saved(sound))[0] == "SNN162"


def test_constants_that_multiply(sound: onnx.ModelProto, saved: Save) -> None:
    """A few bytes that would become 2**31 numbers, and then again."""
    shape = np.array([2**15, 2**15], np.int64)
    sound.graph.initializer.append(numpy_helper.from_array(shape, "shape"))
    nodes = [helper.make_node("ConstantOfShape", ["shape"], ["c0"], "c0")]
    nodes += [helper.make_node("Add", [f"c{i}", f"c{i}"], [f"c{i + 1}"], f"c{i}") for i in range(9)]
    for i, node in enumerate(nodes):
        sound.graph.node.insert(i, node)
    code, message = refusal(saved(sound))
    assert code == "SNN162"
    assert "numbers from " in message
    assert int(message.split(" more than ")[1].split(" ")[0].replace(",", "")) < 2**25


def test_functions_that_double(sound: onnx.ModelProto, saved: Save) -> None:
    """Twenty functions that call the one before twice: a million nodes from a few hundred bytes."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("net", 1)]
    body = [helper.make_node("Neg", ["i"], ["o"])]
    for level in range(20):
        sound.functions.append(helper.make_function("net", f"F{level}", ["i"], ["o"], body, opsets))
        body = [
            helper.make_node(f"F{level}", ["i"], ["m"], domain="net"),
            helper.make_node(f"F{level}", ["m"], ["o"], domain="net"),
        ]
    sound.graph.node.insert(0, helper.make_node("F15", ["x"], ["deep"], domain="net"))
    assert refusal(saved(sound))[0] == "SNN162"
    sound.graph.node[0].op_type = "F19"
    assert refusal(saved(sound))[0] == "SNN160"


def test_functions_that_call_themselves(sound: onnx.ModelProto, saved: Save) -> None:
    body = [helper.make_node("F", ["i"], ["o"], domain="net")]
    opsets = [helper.make_opsetid("net", 1)]
    sound.functions.append(helper.make_function("net", "F", ["i"], ["o"], body, opsets))
    sound.graph.node.insert(0, helper.make_node("F", ["x"], ["deep"], domain="net"))
    assert refusal(saved(sound)) == (
        "SNN160", f"`{saved(sound)}` is damaged: functions call each other without end",
    )  # fmt: skip


def called(function: onnx.FunctionProto, sound: onnx.ModelProto) -> onnx.ModelProto:
    """Put a call of a function of the file in front of a network."""
    sound.functions.append(function)
    sound.opset_import.append(helper.make_opsetid("local", 1))
    for node in sound.graph.node:
        node.input[:] = ["called" if name == "x" else name for name in node.input]
    call = helper.make_node("F", ["x"], ["called"], "call", domain="local")
    call.overload = function.overload
    sound.graph.node.insert(0, call)
    return sound


def function(*nodes: onnx.NodeProto, overload: str = "") -> onnx.FunctionProto:
    opsets = [helper.make_opsetid("", 17)]
    made = helper.make_function("local", "F", ["x"], ["r"], list(nodes), opsets)
    made.overload = overload
    return made


def test_a_body_that_reads_what_is_of_the_function_around_it(
    sound: onnx.ModelProto, saved: Save
) -> None:
    """The network has an ``x`` of its own, which is not what the body means."""
    answer = helper.make_tensor_value_info("o", TensorProto.FLOAT, None)
    body = helper.make_graph([helper.make_node("Neg", ["x"], ["o"])], "body", [], [answer])
    truth = helper.make_tensor("t", TensorProto.BOOL, [], [True])
    nodes = (
        helper.make_node("Constant", [], ["t"], value=truth),
        helper.make_node("If", ["t"], ["r"], "choice", then_branch=body, else_branch=body),
    )
    code, message = refusal(saved(called(function(*nodes), sound)))
    assert code == "SNN122"
    assert message == "node `choice`: its body reads what is of the function around it"


def test_functions_of_one_name_are_told_apart_by_their_overload(
    sound: onnx.ModelProto, saved: Save
) -> None:
    made = called(function(helper.make_node("Neg", ["x"], ["r"]), overload="a"), sound)
    made.functions.append(function(helper.make_node("Relu", ["x"], ["r"]), overload="b"))
    kinds = {op.kind for op in load_model(str(saved(made))).origin.graph().ops}
    assert "foreign" not in kinds
    made.functions.append(made.functions[0])
    assert "two functions have one name" in refusal(saved(made))[1]


@pytest.mark.parametrize(
    ("operator", "numbers", "said"),
    [
        ("Gather", [0, 4], "it takes a place beyond the 4 of axis 1"),
        ("Unsqueeze", [0, 0], "the operator `Unsqueeze` fails"),
    ],
)
def test_numbers_that_do_not_meet_a_shape(
    operator: str, numbers: list[int], said: str, sound: onnx.ModelProto, saved: Save
) -> None:
    stored = numpy_helper.from_array(np.array(numbers, np.int64), "numbers")
    sound.graph.initializer.append(stored)
    axis: dict[str, Any] = {"axis": 1} if operator == "Gather" else {}
    node = helper.make_node(operator, ["x", "numbers"], ["z"], "odd", **axis)
    sound.graph.node.insert(0, node)
    code, message = refusal(saved(sound))
    assert code == "SNN160"
    assert said in message


def test_a_loop_of_absurd_length(saved: Save) -> None:
    text = """
        <ir_version: 8, opset_import: ["" : 17]>
        main (float[b, 4] x) => (float[b, 4] y)
        <int64 steps = {1000000000}, bool goes_on = {1}>
        {
            y = Loop (steps, goes_on, x) <body = each
                (int64 t, bool go, float[b, 4] v) => (bool on, float[b, 4] after)
                { on = Identity (go)  after = Add (v, v) }>
        }
    """
    code, message = refusal(saved(onnx.parser.parse_model(text)))
    assert code == "SNN162"
    assert f"has a loop of 1,000,000,000 steps, more than {limits.MOST_STEPS:,}" in message


NESTED = """
    <ir_version: 8, opset_import: ["" : 17]>
    main (float[1, 4] x) => (float[1, 4] y) <int64 n = {100}, bool go = {1}>
    { y = Loop (n, go, x) <body = a (int64 i, bool c, float[1, 4] v) => (bool o, float[1, 4] w) {
        o = Identity (c)
        FIRST
        w = Loop (INNER, go, v) <body = b (int64 j, bool d, float[1, 4] p) => (bool e, float[1, 4] q) {
            e = Identity (d)
            q = Loop (n, go, p) <body = z (int64 k, bool f, float[1, 4] r) => (bool g, float[1, 4] s)
                { g = Identity (f)  s = Add (r, r) }>
        }>
    }> }
"""  # noqa: E501 - one line a loop


def test_loops_in_loops_are_counted_before_they_run(
    saved: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three of a hundred steps each: not one node is converted."""
    monkeypatch.setattr("snncc.frontends.onnx.bodies._Bodies._run", None)
    text = NESTED.replace("FIRST", "").replace("INNER", "n")
    code, message = refusal(saved(onnx.parser.parse_model(text)))
    assert code == "SNN162"
    steps = 100 * (2 + 100 * (2 + 100 * 2))
    assert f"has a loop that runs {steps:,} nodes, more than {limits.MOST_NODES:,}" in message


def test_loops_whose_counts_are_computed_are_counted_as_they_run(
    saved: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MOST_NODES", 500)
    text = NESTED.replace("FIRST", "m = Add (n, n)").replace("INNER", "m")
    code, message = refusal(saved(onnx.parser.parse_model(text)))
    assert code == "SNN162"
    assert "runs more than 500 nodes" in message


def test_a_loop_that_is_left_early_counts_as_it_runs(saved: Save) -> None:
    """A thousand steps are claimed for a hundred nodes each, and one is run."""
    adds = " ".join(f"a{i} = Add ({f'a{i - 1}' if i else 'v'}, v)" for i in range(100))
    text = f"""
        <ir_version: 8, opset_import: ["" : 17]>
        main (float[b, 4] x) => (float[b, 4] y)
        <int64 n = {{1000}}, bool go = {{1}}, bool stop = {{0}}>
        {{ y = Loop (n, go, x) <body = each
            (int64 t, bool c, float[b, 4] v) => (bool o, float[b, 4] a99)
            {{ o = Identity (stop)  {adds} }}> }}
    """
    graph = load_model(str(saved(onnx.parser.parse_model(text)))).origin.graph()
    assert len(graph.of_kind("add")) == 100


def test_a_constant_that_is_spread_and_one_taken_backwards(
    sound: onnx.ModelProto, saved: Save
) -> None:
    for name, value in (("big", [2**26, 4]), ("s", [-1]), ("e", [-(2**62)]), ("a", [0])):
        sound.graph.initializer.append(numpy_helper.from_array(np.array(value), name))
    row = numpy_helper.from_array(np.arange(4, dtype=np.float32), "row")
    sound.graph.initializer.append(row)
    sound.graph.node.insert(0, helper.make_node("Expand", ["row", "big"], ["spread"], "spread"))
    assert refusal(saved(sound))[0] == "SNN162"
    sound.graph.node[0].CopyFrom(helper.make_node("ConstantOfShape", ["big"], ["c"], "c"))
    back = helper.make_node("Slice", ["c", "s", "e", "a", "s"], ["d"], "back")
    sound.graph.node.insert(1, back)
    assert refusal(saved(sound))[0] == "SNN162"


def test_rows_and_pieces_without_end(sound: onnx.ModelProto, saved: Save) -> None:
    rows = numpy_helper.from_array(np.zeros((5000, 1), np.int64), "rows")
    ones = numpy_helper.from_array(np.ones((5000, 4), np.float32), "ones")
    sound.graph.initializer.extend([rows, ones])
    node = helper.make_node("ScatterND", ["x", "rows", "ones"], ["z"], "odd")
    sound.graph.node.insert(0, node)
    assert "writes over 5,000 rows" in refusal(saved(sound))[1]
    parts = [f"p{i}" for i in range(5000)]
    sound.graph.node[0].CopyFrom(helper.make_node("Split", ["x"], parts, "odd", axis=1))
    assert "has a node of 5,000 outputs" in refusal(saved(sound))[1]


def test_a_cycle(sound: onnx.ModelProto, saved: Save) -> None:
    sound.graph.node[1].input[0] = sound.graph.node[-1].output[0]
    code, message = refusal(saved(sound))
    assert code == "SNN160"
    assert "is made by a later node: the graph has a cycle or is not sorted" in message


def test_a_value_that_nobody_makes_and_one_made_twice(sound: onnx.ModelProto, saved: Save) -> None:
    sound.graph.node[1].input[0] = "nowhere"
    assert "`nowhere`, which is made by no node" in refusal(saved(sound))[1]
    sound.graph.node[1].input[0] = sound.graph.node[0].output[0]
    sound.graph.node[1].output[0] = sound.graph.node[0].output[0]
    assert "is made twice" in refusal(saved(sound))[1]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers(bad: float, sound: onnx.ModelProto, saved: Save) -> None:
    weight = np.full((6, 4), bad, np.float32)
    sound.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "fc1.weight"))
    assert refusal(saved(sound))[0] == "SNN106"


@pytest.mark.parametrize(
    ("operator", "domain", "said"),
    [
        ("LSTM", "", "the operator `LSTM` has no meaning here"),
        ("Evil", "com.evil", "the operator `com.evil.Evil` has no meaning here"),
        ("Scan", "", "a loop over time inside the file is not read"),
        ("ConvTranspose", "", "an upsampling has no meaning on a chip of spikes"),
    ],
)
def test_unknown_operators_are_named_with_their_node(
    operator: str, domain: str, said: str, sound: onnx.ModelProto, saved: Save
) -> None:
    node = helper.make_node(operator, ["x"], ["z"], "/block/odd", domain=domain)
    sound.graph.node.insert(0, node)
    code, message = refusal(saved(sound))
    assert code == "SNN122"
    assert message.startswith(f"node `/block/odd`: {said}")


def outside(sound: onnx.ModelProto, location: str, **keys: str) -> onnx.ModelProto:
    tensor = sound.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **keys}.items():
        tensor.external_data.add(key=key, value=value)
    return sound


@pytest.mark.parametrize(
    "location",
    ["/etc/passwd", "../secret", "a/../../secret", "..", ".", "", "a\\..\\secret",
     "C:\\secret"],
)  # fmt: skip
def test_data_outside_the_folder(
    location: str, sound: onnx.ModelProto, saved: Save, tmp_path: Path
) -> None:
    (tmp_path.parent / "secret").write_bytes(bytes(96))
    assert refusal(saved(outside(sound, location)))[0] == "SNN163"


def test_data_behind_a_link_that_leads_out(
    sound: onnx.ModelProto, saved: Save, tmp_path: Path
) -> None:
    (tmp_path / "data").symlink_to("/etc/passwd")
    assert refusal(saved(outside(sound, "data")))[0] == "SNN163"
    (tmp_path / "data").unlink()
    (tmp_path / "data").symlink_to("data")
    assert refusal(saved(outside(sound, "data")))[0] in ("SNN160", "SNN163")


@pytest.mark.parametrize("location", ["./data", "sub/data", "sub/../data", "sub//./data", "link"])
def test_data_within_the_folder(
    location: str, sound: onnx.ModelProto, saved: Save, tmp_path: Path
) -> None:
    raw = sound.graph.initializer[0].raw_data
    (tmp_path / "sub").mkdir()
    for file in ("data", "sub/data"):
        (tmp_path / file).write_bytes(raw)
    (tmp_path / "link").symlink_to("sub/data")
    plain = load_model(str(saved(sound, "plain.onnx"))).origin.graph()
    assert plain == load_model(str(saved(outside(sound, location)))).origin.graph()


def test_data_that_are_no_file(sound: onnx.ModelProto, saved: Save, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "data")
    code, message = refusal(saved(outside(sound, "data")))
    assert code == "SNN160"
    assert message.endswith("should stand in `data`, which is a named pipe, not a file")


@pytest.mark.parametrize(
    "keys",
    [{"offset": "90"}, {"length": "8"}, {"offset": "-8"}, {"offset": "many"},
     {"length": str(2**50)}],
)  # fmt: skip
def test_data_of_another_size(
    keys: dict[str, str], sound: onnx.ModelProto, saved: Save, tmp_path: Path
) -> None:
    (tmp_path / "data").write_bytes(bytes(100))
    assert refusal(saved(outside(sound, "data", **keys)))[0] == "SNN160"


def test_data_beside_the_file_are_read(sound: onnx.ModelProto, saved: Save, tmp_path: Path) -> None:
    raw = sound.graph.initializer[0].raw_data
    (tmp_path / "data").write_bytes(b"1234" + raw)
    plain = load_model(str(saved(sound, "plain.onnx"))).origin.graph()
    moved = load_model(str(saved(outside(sound, "data", offset="4")))).origin.graph()
    assert plain == moved


def referring(sound: onnx.ModelProto, ranges: list[tuple[int, int]]) -> onnx.ModelProto:
    """A model with one more weight for each range of bytes of the file ``data``."""
    for number, (start, length) in enumerate(ranges):
        made = TensorProto(name=f"w{number}", data_type=TensorProto.FLOAT, dims=[length // 4])
        made.data_location = TensorProto.EXTERNAL
        for key, value in (("location", "data"), ("offset", str(start)), ("length", str(length))):
            made.external_data.add(key=key, value=value)
        sound.graph.initializer.append(made)
    return sound


MIB = 1 << 20


@pytest.mark.parametrize(
    "ranges",
    [
        [(0, 64 * MIB)] * 400,
        [(4 * i, 63 * MIB) for i in range(400)],
        [(0, 64 * MIB), *((4 * i, 4 * i + 4096) for i in range(1, 20_000))],
    ],
    ids=["the same", "overlapping", "many"],
)
def test_tensors_that_share_their_data(
    ranges: list[tuple[int, int]], sound: onnx.ModelProto, saved: Save, tmp_path: Path
) -> None:
    """Some 25 GiB are claimed, and 64 MiB stand in the file."""
    with (tmp_path / "data").open("wb") as file:
        file.truncate(64 * MIB)
    code, message = refusal(saved(referring(sound, ranges)))
    assert code == "SNN162"
    assert message.endswith("bytes from `data`, where 67,108,864 bytes are stored")


def test_data_that_are_mostly_holes(sound: onnx.ModelProto, saved: Save, tmp_path: Path) -> None:
    """A file of 1 TiB that takes no place on the disk."""
    with (tmp_path / "data").open("wb") as file:
        file.truncate(1 << 40)
    assert refusal(saved(referring(sound, [(0, 1 << 40)])))[0] == "SNN162"


def test_weights_that_stand_in_one_place(unrolled: Make, saved: Save, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(np.ones(64, np.float32).tobytes())
    tied = saved(referring(unrolled(T=2), [(0, 256)] * 2))
    assert load_model(str(tied)).input_shape == (4,)
    assert refusal(saved(referring(unrolled(T=2), [(0, 256)] * 3)))[0] == "SNN162"


def test_what_is_read_again_takes_no_memory_again(sound: onnx.ModelProto, saved: Save) -> None:
    """A constant of 16 MiB in a function that is called a thousand times."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("net", 1)]
    weight = numpy_helper.from_array(np.ones((2**20, 4), np.float32), "wide")
    body = [
        helper.make_node("Constant", [], ["w"], value=weight),
        helper.make_node("Gemm", ["i", "w"], ["o"], transB=1),
    ]
    sound.functions.append(helper.make_function("net", "F", ["i"], ["o"], body, opsets))
    sound.opset_import.append(opsets[1])
    for i in range(1000):
        sound.graph.node.insert(0, helper.make_node("F", ["x"], [f"f{i}"], domain="net"))
    sound.graph.node.append(helper.make_node("Evil", ["x"], ["z"], "end"))
    assert refusal(saved(sound))[0] == "SNN122"


def test_names_of_any_length_and_kind(sound: onnx.ModelProto, saved: Save) -> None:
    name = "\x1b[31m\n" + "n" * 100_000
    sound.graph.node.insert(0, helper.make_node("Evil", ["x"], ["z"], name))
    assert len(refusal(saved(sound))[1]) < 1000


def test_the_command_ends_with_2_and_one_diagnostic(
    sound: onnx.ModelProto, saved: Save, capsys: pytest.CaptureFixture[str]
) -> None:
    sound.graph.node[1].input[0] = "nowhere"
    for command in (["check"], ["inspect"], ["compile", "--target", "loihi2"]):
        assert guarded([command[0], str(saved(sound)), *command[1:]]) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.count("error[SNN160]") == 1


@pytest.mark.parametrize("operator", ["Add", "Mul"])
def test_arithmetic_without_end(operator: str, saved: Save) -> None:
    """As deep as Python's stack, or a potential to the power of 2**600."""
    nodes = [
        helper.make_node("Constant", [], ["one"], value_float=1.0),
        helper.make_node("Greater", ["x", "one"], ["above"]),
        helper.make_node("Cast", ["above"], ["s"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["x", "s"], ["v0"]),
        *(helper.make_node(operator, [f"v{i}", f"v{i}"], [f"v{i + 1}"]) for i in range(600)),
        helper.make_node("Greater", ["v600", "one"], ["again"]),
        helper.make_node("Cast", ["again"], ["y"], to=TensorProto.FLOAT),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", 4]) for name in "xy"]
    graph = helper.make_graph(nodes, "main", ends[:1], ends[1:])
    opsets = [helper.make_opsetid("", 17)]
    path = saved(helper.make_model(graph, opset_imports=opsets, ir_version=8))
    assert guarded(["check", str(path)]) == 1
