"""Data in every form that is known, and one clear diagnostic for each that cannot be used."""

from __future__ import annotations

import pickle
import sys
import types
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snncc.diagnostics.core import SnnccError
from snncc.execute.dataset import load_dataset

SHAPE = (1, 2, 3)
X = np.arange(24, dtype=np.float32).reshape(4, *SHAPE)
Y = np.array([0, 2, 1, 0])


def code_and_message(spec: str, **options: Any) -> tuple[str, str]:
    """The one diagnostic that reading ends with."""
    with pytest.raises(SnnccError) as caught:
        load_dataset(spec, SHAPE, **options)
    (found,) = caught.value.diagnostics
    assert "\n" not in found.message
    return found.rule.code, found.message


def saved(path: Path, **arrays: Any) -> str:
    np.savez(path, **arrays)
    return str(path)


@pytest.fixture
def user_module(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A module of the user's own, importable as `theirs`."""
    module = types.ModuleType("theirs")
    monkeypatch.setitem(sys.modules, "theirs", module)
    return module


def write_pair(folder: Path, form: str) -> str:
    path = folder / f"data.{form.partition(' ')[0]}"
    x, y = torch.tensor(X), torch.tensor(Y)
    if form == "npz":
        return saved(path, x=X, y=Y)
    torch.save({"pt dict": {"x": x, "y": y}, "pt pair": (x, y)}[form], path)
    return str(path)


@pytest.mark.parametrize("form", ["npz", "pt dict", "pt pair"])
def test_pairs_of_inputs_and_labels(tmp_path: Path, form: str) -> None:
    data = load_dataset(write_pair(tmp_path, form), SHAPE, classes=3)
    assert np.array_equal(data.inputs, X)
    assert data.labels is not None
    assert data.labels.tolist() == Y.tolist()
    assert len(data) == 4


def test_inputs_alone(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    torch.save(torch.tensor(X).bfloat16(), tmp_path / "x.pt")
    for path in (saved(tmp_path / "x.npz", x=X), tmp_path / "x.npy", tmp_path / "x.pt"):
        data = load_dataset(str(path), SHAPE)
        assert np.array_equal(data.inputs, X)
        assert data.labels is None


@pytest.mark.parametrize("dtype", [np.uint8, bool, np.int64, np.float16, np.float64])
def test_numbers_of_every_type_become_floats(tmp_path: Path, dtype: type) -> None:
    data = load_dataset(saved(tmp_path / "x.npz", x=X.astype(dtype)), SHAPE)
    assert data.inputs.dtype == (np.float64 if dtype is np.float64 else np.float32)
    assert np.array_equal(data.inputs, X.astype(dtype).astype(np.float64))


def test_a_limit_takes_the_first(tmp_path: Path) -> None:
    data = load_dataset(saved(tmp_path / "x.npz", x=X, y=Y), SHAPE, limit=2)
    assert np.array_equal(data.inputs, X[:2])
    assert data.labels is not None
    assert data.labels.tolist() == [0, 2]


def test_what_is_not_there_or_not_known(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("1,2")
    assert code_and_message(str(tmp_path / "no.npz"))[0] == "SNN130"
    assert code_and_message("nowhere") == ("SNN130", "`nowhere` does not exist")
    code, message = code_and_message(str(tmp_path / "x.csv"))
    assert (code, message[-31:]) == ("SNN130", "is no kind of data that is known"[-31:])


@pytest.mark.parametrize("suffix", ["npz", "npy", "pt"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"\x93NUMPY\x01", b"\x80\x02}q."])
def test_damaged_files(tmp_path: Path, suffix: str, content: bytes) -> None:
    (tmp_path / f"x.{suffix}").write_bytes(content)
    assert code_and_message(str(tmp_path / f"x.{suffix}"))[0] == "SNN130"


def test_a_cut_archive(tmp_path: Path) -> None:
    whole = Path(saved(tmp_path / "x.npz", x=np.random.default_rng(0).random((64, *SHAPE))))
    torch.save(torch.tensor(X), tmp_path / "x.pt")
    for path in (whole, tmp_path / "x.pt"):
        for size in range(0, path.stat().st_size - 1, 97):
            cut = tmp_path / f"cut{path.suffix}"
            cut.write_bytes(path.read_bytes()[:size])
            assert code_and_message(str(cut))[0] == "SNN130"


class Planted:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (self.path, "ran"))


def test_no_code_of_a_file_runs(tmp_path: Path) -> None:
    trap = Planted(tmp_path / "ran")
    torch.save({"x": trap}, tmp_path / "a.pt")
    (tmp_path / "b.pt").write_bytes(pickle.dumps(trap))
    np.save(tmp_path / "c.npy", np.array([trap], object), allow_pickle=True)
    np.savez(tmp_path / "d.npz", x=np.array([trap], object))
    for name in ("a.pt", "b.pt", "c.npy", "d.npz"):
        assert code_and_message(str(tmp_path / name))[0] == "SNN130"
    assert not (tmp_path / "ran").exists()


def test_an_archive_without_x_says_what_it_holds(tmp_path: Path) -> None:
    code, message = code_and_message(saved(tmp_path / "x.npz", images=X))
    assert code == "SNN130"
    assert "['images'], wanted `x` and maybe `y`" in message


@pytest.mark.parametrize(
    "x", [X[0], X[:, :, :, :2], X[..., None], np.float32(3), X.astype("c8"), X.astype("U")]
)
def test_wrong_shapes_and_types(tmp_path: Path, x: Any) -> None:
    assert code_and_message(saved(tmp_path / "x.npz", x=x))[0] == "SNN131"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_first_sample_that_is_not_finite_is_named(tmp_path: Path, value: float) -> None:
    x = X.copy()
    x[2, 0, 0, 0] = x[3, 0, 0, 0] = value
    path = saved(tmp_path / "x.npz", x=x)
    kind = "NaN" if np.isnan(value) else "infinity"
    assert code_and_message(path) == ("SNN132", f"sample 2 of `{path}` holds {kind}")


def test_empty_data(tmp_path: Path) -> None:
    assert code_and_message(saved(tmp_path / "x.npz", x=X[:0], y=Y[:0]))[0] == "SNN133"
    assert code_and_message(saved(tmp_path / "y.npz", x=np.zeros(0)))[0] == "SNN133"
    (tmp_path / "folder" / "class").mkdir(parents=True)
    assert code_and_message(str(tmp_path / "folder"))[0] == "SNN133"


@pytest.mark.parametrize(
    "y", [Y[:3], Y[:, None], Y.astype(float), np.eye(4), Y - 1, Y + 1, np.array("cat")]
)
def test_labels_that_are_none(tmp_path: Path, y: Any) -> None:
    assert code_and_message(saved(tmp_path / "x.npz", x=X, y=y), classes=3)[0] == "SNN134"


def test_a_factory_gives_samples_or_batches(user_module: types.ModuleType) -> None:
    user_module.samples = lambda: list(zip(torch.tensor(X), Y.tolist(), strict=True))  # type: ignore[attr-defined]
    user_module.batches = lambda: [(X[:3], Y[:3]), (X[3:], Y[3:])]  # type: ignore[attr-defined]
    user_module.unlabelled = lambda: ((torch.tensor(x).requires_grad_(), None) for x in X)  # type: ignore[attr-defined]
    for name, labels in (("samples", [0, 2, 1]), ("batches", [0, 2, 1]), ("unlabelled", None)):
        data = load_dataset(f"theirs:{name}", SHAPE, limit=3)
        assert np.array_equal(data.inputs, X[:3])
        assert (None if data.labels is None else data.labels.tolist()) == labels


def test_an_endless_factory_is_read_up_to_the_limit(user_module: types.ModuleType) -> None:
    def endless() -> Iterator[tuple[Any, int]]:
        while True:
            yield X[0], 1

    user_module.endless = endless  # type: ignore[attr-defined]
    assert len(load_dataset("theirs:endless", SHAPE, limit=5)) == 5


def test_a_factory_of_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_own_data.py").write_text(
        "import numpy\ndef make():\n    return [(numpy.ones((1, 2, 3)), 0)]\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert len(load_dataset("my_own_data:make", SHAPE)) == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("1 / 0", "SNN135"),
        ("None", "SNN135"),
        ("[1, 2]", "SNN135"),
        ("[(X, None, 3)]", "SNN135"),
        ("[(X[0], [1, 2]), (X[1], 0)]", "SNN135"),
        ("[(X[:2], Y)]", "SNN135"),
        ("[]", "SNN133"),
        ("[(X[0], 0), (X[0, :, :1], 0)]", "SNN131"),
        ("[('a', 0)]", "SNN131"),
    ],
)
def test_factories_that_fail(user_module: types.ModuleType, body: str, code: str) -> None:
    user_module.make = lambda: eval(body, {"X": X, "Y": Y})  # type: ignore[attr-defined]  # noqa: S307
    assert code_and_message("theirs:make")[0] == code


def test_factories_that_are_not_there() -> None:
    assert code_and_message("no_such_module_anywhere:make")[0] == "SNN135"
    assert code_and_message("json:no_such_factory")[0] == "SNN135"


def test_images_need_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.png").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    assert code_and_message(str(tmp_path))[0] == "SNN136"


def test_a_folder_of_images_by_class(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for number, name in enumerate(("cat", "dog")):
        (tmp_path / name).mkdir()
        for i in range(3):
            pixels = np.full((2, 3), 51 * number, np.uint8)
            image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    data = load_dataset(str(tmp_path), SHAPE, limit=2)
    assert data.labels is not None
    assert data.labels.tolist() == [0, 1]
    assert np.allclose(data.inputs[1], 0.2)
    assert load_dataset(str(tmp_path), (3, 2, 3)).inputs.shape == (6, 3, 2, 3)
    image.fromarray(np.zeros((5, 5), np.uint8)).save(tmp_path / "cat" / "0.png")
    assert code_and_message(str(tmp_path))[0] == "SNN131"
    (tmp_path / "cat" / "0.png").write_bytes(b"no image")
    assert code_and_message(str(tmp_path))[0] == "SNN130"


def test_bombs_are_refused_before_they_are_read(tmp_path: Path) -> None:
    torch.save(torch.zeros(1).expand(1 << 34, *SHAPE), tmp_path / "x.pt")
    code, message = code_and_message(str(tmp_path / "x.pt"))
    assert (code, "holds samples of" in message) == ("SNN130", True)
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("x.npy", bytes(600 << 20))
    code, message = code_and_message(str(tmp_path / "x.npz"))
    assert (code, "unpacks to 629,145,600 bytes" in message) == ("SNN130", True)
