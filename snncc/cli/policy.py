"""The policy of the spike-driven check, from ``[tool.snncc.check]`` of pyproject.toml."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

from snncc.cli.options import meant, read_configuration, refusal
from snncc.passes.spike_policy import Allowance, Encoder, Head, Policy

TABLE = "tool.snncc.check"


def configured_policy(start: Path | None = None) -> Policy:
    """Return the policy of the nearest pyproject.toml upwards, the usual one where none is given.

    Raises ``SnnccError`` for an unknown key, a value that is none, or an allowance without a
    reason.
    """
    file, configuration = read_configuration(start or Path.cwd())
    table = configuration.get("check", {})
    if file is None or not table:
        return Policy()
    try:
        return Policy(**_fields(table))
    except ValueError as fault:
        raise refusal(file, str(fault), table=TABLE) from None


def _fields(table: Any) -> dict[str, Any]:
    if not isinstance(table, Mapping):
        raise ValueError("is no table")
    _refuse_unknown(table, _READERS)
    return {key: _READERS[key](key, value) for key, value in table.items()}


def _refuse_unknown(given: Iterable[str], known: Iterable[str]) -> None:
    for key in given:
        if key not in known:
            raise ValueError(f"has the unknown key `{key}`{meant(key, known) or _one_of(known)}")


def _one_of(known: Iterable[str]) -> str:
    return f": one of {', '.join(known)}"


def _word(*words: str) -> Callable[[str, Any], str]:
    def read(key: str, value: Any) -> str:
        if value not in words:
            raise ValueError(f"gives `{key}` the value {value!r}{_one_of(map(repr, words))}")
        return str(value)

    return read


def _levels(key: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"gives `{key}` the value {value!r}: wanted a whole number from 1")
    return value


def _allowances(key: str, value: Any) -> tuple[Allowance, ...]:
    if not isinstance(value, list):
        raise ValueError(f"gives `{key}` no list of tables")
    return tuple(_allowance(key, each) for each in value)


def _allowance(key: str, table: Any) -> Allowance:
    from snncc.diagnostics.catalogue import all_rules

    fields = ("code", "path", "reason")
    if not isinstance(table, Mapping) or not all(isinstance(v, str) for v in table.values()):
        raise ValueError(f"gives `{key}` no list of tables of texts: {', '.join(fields)}")
    _refuse_unknown(table, fields)
    code, reason = table.get("code", ""), table.get("reason", "").strip()
    if code not in all_rules():
        raise ValueError(f"allows {code!r}, which is no code: `snncc explain` lists all codes")
    if not reason:
        raise ValueError(f"allows {code} without a `reason`")
    return Allowance(code, table.get("path", ""), reason)


_READERS: Mapping[str, Callable[[str, Any], Any]] = {
    "encoder": _word(*get_args(Encoder)),
    "head": _word(*get_args(Head)),
    "multi_level": _levels,
    "allow": _allowances,
}
"""How the value of each key is read: those of ``Policy``."""
