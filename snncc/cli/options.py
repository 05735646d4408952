"""Options that several commands share, and their defaults from the user's pyproject.toml."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import click

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from snncc.cli.rules import BAD_CONFIGURATION
from snncc.diagnostics.core import SnnccError
from snncc.ir.graph import Source

F = TypeVar("F", bound=Callable[..., Any])

TABLES = ("check",)
"""Tables of ``[tool.snncc]`` that belong to something else than an option."""


def _settings(_: click.Context, __: click.Parameter, given: Iterable[str]) -> dict[str, str]:
    """Return ``name=value`` pairs as a dict."""
    settings = {}
    for pair in given:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise click.BadParameter(f"{pair!r} is not of the form name=value")
        settings[key.strip()] = value.strip()
    return settings


def _shape(_: click.Context, __: click.Parameter, given: str | None) -> tuple[int, ...] | None:
    """Return ``3,32,32`` as three numbers."""
    if given is None:
        return None
    sizes = given.split(",")
    if not all(size.strip().isdecimal() and int(size) > 0 for size in sizes):
        raise click.BadParameter(f"{given!r} is not of the form C,H,W")
    return tuple(int(size) for size in sizes)


def _allowances(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    """Return ``CODE`` or ``CODE:path-glob`` entries; a code has to be one of ours."""
    if not given:
        return ()
    from snncc.diagnostics.catalogue import all_rules

    known = all_rules()
    for each in given:
        code = each.partition(":")[0]
        if code not in known:
            raise click.BadParameter(unknown_code(code))
    return given


def meant(word: str, known: Iterable[str]) -> str:
    """Return a question that offers what was probably meant."""
    close = get_close_matches(word, list(known), n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def unknown_code(code: str) -> str:
    """Return what to say of a code that no rule has: near codes have nothing in common."""
    return f"no rule has the code {code!r}: `snncc explain` lists all codes"


class Place(click.Path):
    """A file or directory to write or read; an empty name is none."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path. Raises ``click.BadParameter`` for an empty name."""
        if not str(value):
            self.fail("the name is empty", param, ctx)
        return super().convert(value, param, ctx)


def some_model(_: click.Context, __: click.Parameter, given: str | None) -> str | None:
    """Return the model as it was named; an empty name is none."""
    if given is not None and not given.strip():
        wanted = "a checkpoint, package.module:factory or arch:NAME"
        raise click.BadParameter(f"the name is empty, wanted {wanted}")
    return given


MODEL = click.argument("model", callback=some_model)

MODEL_OPTIONS = (
    click.option("--network", metavar="MODULE:FACTORY", help="How your own network is built."),
    click.option(
        "--set", "settings", multiple=True, metavar="NAME=VALUE", callback=_settings,
        help="What the weights cannot tell: heads=8, T=4 ...; repeatable.",
    ),
    click.option(
        "--input-shape", metavar="C,H,W", callback=_shape,
        help="Shape of one sample, for a network that does not say it.",
    ),
    click.option("--trust-pickle", is_flag=True, help="Run the code that the file contains."),
)  # fmt: skip

ALLOW = click.option(
    "--allow", multiple=True, metavar="CODE[:PATH]", callback=_allowances,
    help="Let findings of this rule pass, at module paths like PATH; repeatable.",
)  # fmt: skip

DATA = click.option(
    "--data", metavar="D",
    help="Samples: .npz, .npy, .pt, a folder of images by class, or module:factory.",
)  # fmt: skip

LIMIT = click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Use N samples.")


def form(*names: str) -> Callable[[F], F]:
    """Return the option ``--format`` with these choices, the first as default."""
    return click.option(
        "--format", "form", type=click.Choice(names), default=names[0], show_default=True,
        help="What stdout gets.",
    )  # fmt: skip


def all_of(*decorators: Callable[[Any], Any]) -> Callable[[F], F]:
    """Return the decorators as one, in the order in which help shows them."""

    def decorate(command: F) -> F:
        for each in reversed(decorators):
            command = each(command)
        return command

    return decorate


def configured(app: click.Group, start: Path) -> dict[str, dict[str, Any]]:
    """Return click's defaults for each command from the nearest pyproject.toml upwards.

    Raises ``SnnccError`` for an unknown key, a value that no option takes, or a file that is no
    TOML.
    """
    file, table = read_configuration(start)
    if file is None:
        return {}
    known = {
        option.removeprefix("--"): parameter
        for command in app.commands.values()
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--")
    }
    defaults: dict[str, Any] = {}
    for key, value in table.items():
        if key in TABLES:
            continue
        if key not in known:
            hint = f"one of {', '.join(sorted(known))}"
            raise refusal(file, f"has the unknown key `{key}`{meant(key, known)}", hint)
        defaults[str(known[key].name)] = _default(file, key, value, known[key])
    return {
        name: {str(p.name): defaults[str(p.name)] for p in command.params if p.name in defaults}
        for name, command in app.commands.items()
    }


def _default(file: Path, key: str, value: Any, parameter: click.Parameter) -> Any:
    """Return a value of the configuration as the command line would have given it."""
    if parameter.multiple and isinstance(value, Mapping):
        value = [f"{name}={each}" for name, each in value.items()]
    if parameter.multiple:
        value = value if isinstance(value, list) else [value]
        return [str(each) for each in value]
    if isinstance(value, (list, Mapping)):
        raise refusal(file, f"gives `{key}` several values, wanted one")
    return value


def refusal(file: Path, reason: str, hint: str = "", table: str = "tool.snncc") -> SnnccError:
    """Return the diagnostic of a configuration that cannot be used."""
    message = f"`[{table}]` {reason}"
    return SnnccError(BAD_CONFIGURATION.at(Source(file=str(file)), message, hint=hint))


def read_configuration(start: Path) -> tuple[Path | None, Mapping[str, Any]]:
    """Return the nearest pyproject.toml upwards and its ``[tool.snncc]``."""
    file = next((f for d in (start, *start.parents) if (f := d / "pyproject.toml").is_file()), None)
    return file, {} if file is None else _read(file)


def _read(file: Path) -> Mapping[str, Any]:
    try:
        document = tomllib.loads(file.read_bytes().decode())
        table = document.get("tool", {}).get("snncc", {})
        if not isinstance(table, Mapping):
            raise ValueError("`tool.snncc` is no table")
    except (OSError, ValueError, AttributeError) as fault:
        message = f"`{file}` cannot be read: {fault}"
        raise SnnccError(BAD_CONFIGURATION.at(Source(file=str(file)), message)) from fault
    return table
