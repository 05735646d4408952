"""Data files in which every number stands beside its unit and its source.

A file is TOML; a fact is an inline table::

    neurons_per_core = { value = 1024, per = "core", source = "Davies et al. 2018" }

Which keys a section may hold, in which unit, is declared where the section is declared: as a
dataclass whose fields are made by ``fact`` or ``optional_fact``, or as a table of ``Rule``. What
the declaration does not know is refused, and so is a fact without a source.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, TypeVar, get_args, get_type_hints

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from snncc.files.kinds import kind_of

V_co = TypeVar("V_co", bool, int, float, str, covariant=True)

EVIDENCE = ("measured", "simulated", "vendor", "analytic", "assumed")
"""What a number rests on, from the best to the least."""

_HEADER = re.compile(r"\s*\[\s*([\w.-]+)\s*\]")
_KEY = re.compile(r"\s*([\w-]+)\s*=")


class FactError(ValueError):
    """A data file that cannot be used: which file, which line, which key, and why."""

    def __init__(self, file: str, reason: str, key: str = "", line: int | None = None) -> None:
        self.file, self.reason, self.key, self.line = file, reason, key, line
        place = file if line is None else f"{file}:{line}"
        super().__init__(": ".join(part for part in (place, key, reason) if part))


@dataclass(frozen=True)
class Fact(Generic[V_co]):
    """A value with its unit, the thing it is counted per, its source and what that rests on."""

    value: V_co
    source: str
    unit: str = ""
    per: str = ""
    evidence: str = ""

    @property
    def assumed(self) -> bool:
        """Whether this is a guess, which every figure made of it has to say."""
        return self.evidence == "assumed" or self.source.startswith("assumed:")

    def __str__(self) -> str:
        """The value with its unit, as a person would write it: ``131072 byte per core``."""
        value = str(self.value).lower() if isinstance(self.value, bool) else str(self.value)
        per = f"per {self.per}" if self.per else ""
        return " ".join(word for word in (value, self.unit, per) if word)


@dataclass(frozen=True)
class Rule:
    """What a fact has to look like: type, unit, range; ``choices`` lists the words allowed."""

    kind: type
    unit: str = ""
    per: str = ""
    choices: tuple[str, ...] = ()
    at_least: float = 0
    evidence: bool = False
    required: bool = False


def fact(
    unit: str = "", *, per: str = "", choices: tuple[str, ...] = (), at_least: float = 0
) -> Any:
    """Declare a field ``name: Fact[kind]`` that a file has to give."""
    return field(metadata={"unit": unit, "per": per, "choices": choices, "at_least": at_least})


def optional_fact(unit: str = "", *, per: str = "", at_least: float = 0) -> Any:
    """Declare a field ``name: Fact[kind] | None`` that a file may leave out."""
    return field(default=None, metadata={"unit": unit, "per": per, "at_least": at_least})


def rules_of(section: type) -> dict[str, Rule]:
    """Return the rules that a dataclass of facts declares, by key."""
    hints = get_type_hints(section)
    return {f.name: _rule(f, hints[f.name]) for f in fields(section)}


def _rule(declared: Field[Any], hint: Any) -> Rule:
    options = [h for h in get_args(hint) if h is not type(None)]
    kind = get_args(options[0])[0] if type(None) in get_args(hint) else options[0]
    return Rule(kind, required=type(None) not in get_args(hint), **declared.metadata)


class FactFile:
    """One data file, read; it names itself in every refusal."""

    def __init__(self, path: Path, error: type[FactError]) -> None:
        self.path, self._error = path, error
        if what := kind_of(path):
            raise error(str(path), what)
        try:
            text = path.read_bytes().decode("utf-8")
            self.document: dict[str, Any] = tomllib.loads(text)
        except OSError as fault:
            raise error(str(path), f"cannot be read: {fault.strerror}") from fault
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
            raise error(str(path), f"is not TOML: {fault}") from fault
        self._lines = dict(_lines_of(text))

    def refusal(self, key: str, reason: str) -> FactError:
        """Return the error to raise about a dotted key."""
        line = self._lines.get(key) or self._lines.get(key.rpartition(".")[0])
        return self._error(str(self.path), reason, key, line)

    def allow(self, keys: Iterable[str]) -> None:
        """Refuse any section or top-level key but these."""
        self._no_stranger("", self.document, list(keys))

    def text(self, key: str) -> str:
        """Return a top-level string that has to be there and say something."""
        value = self.document.get(key)
        if not isinstance(value, str) or not value.strip():
            found = repr(value) if key in self.document else "nothing"
            raise self.refusal(key, f"wanted a string, found {found}")
        return value

    def sentences(self, key: str) -> tuple[str, ...]:
        """Return a top-level list of sentences; empty when it is left out."""
        value = self.document.get(key, [])
        if not isinstance(value, list) or not all(isinstance(s, str) and s.strip() for s in value):
            raise self.refusal(key, "wanted a list of sentences")
        return tuple(value)

    def facts(self, section: str, rules: Mapping[str, Rule]) -> Mapping[str, Fact[Any]]:
        """Return a section's facts, in the order of the rules."""
        table = self.document.get(section, {})
        if not isinstance(table, dict):
            raise self.refusal(section, "wanted a section of facts")
        self._no_stranger(f"{section}.", table, list(rules))
        for key, rule in rules.items():
            if rule.required and key not in table:
                raise self.refusal(f"{section}.{key}", "is missing")
        given = [(key, rule) for key, rule in rules.items() if key in table]
        facts = {key: self._fact(f"{section}.{key}", table[key], rule) for key, rule in given}
        return MappingProxyType(facts)

    def _no_stranger(self, prefix: str, table: Mapping[str, Any], known: list[str]) -> None:
        for key in table:
            if key not in known:
                raise self.refusal(prefix + key, f"unknown key{_meant(key, known)}")

    def _fact(self, key: str, table: Any, rule: Rule) -> Fact[Any]:
        if not isinstance(table, dict):
            raise self.refusal(key, "wanted { value = ..., source = ... }")
        allowed = {"unit": [rule.unit], "per": [rule.per], "evidence": EVIDENCE}
        allowed = {name: words for name, words in allowed.items() if getattr(rule, name)}
        wanted = ["value", "source", *allowed]
        self._no_stranger(f"{key}.", table, wanted)
        for name in wanted:
            if name not in table:
                raise self.refusal(f"{key}.{name}", "is missing")
        for name, words in allowed.items():
            if table[name] not in words:
                raise self.refusal(f"{key}.{name}", f"is {table[name]!r}, wanted {_one_of(words)}")
        if not isinstance(table["source"], str) or not table["source"].strip():
            raise self.refusal(f"{key}.source", "wanted a string that says where the value is from")
        return Fact(**{**table, "value": self._value(f"{key}.value", table["value"], rule)})

    def _value(self, key: str, value: Any, rule: Rule) -> Any:
        if rule.kind is float and type(value) is int:
            value = float(value)
        if type(value) is not rule.kind:
            raise self.refusal(key, f"is {value!r}, wanted {_KINDS[rule.kind]}")
        if rule.kind is str and value not in rule.choices:
            raise self.refusal(key, f"is {value!r}, wanted {_one_of(rule.choices)}")
        if isinstance(value, (int, float)) and not rule.at_least <= value < math.inf:
            raise self.refusal(key, f"is {value}, wanted a number from {rule.at_least:g} up")
        return value


_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a string"}


def names_in(package: str, folder: str = "") -> tuple[str, ...]:
    """Return the names of the data files that ship in a package, sorted."""
    files = (resources.files(package) / folder).iterdir()
    return tuple(sorted(f.name[:-5] for f in files if f.name.endswith(".toml")))


def open_facts(
    name_or_path: str | Path, package: str, folder: str = "", *, error: type[FactError]
) -> FactFile:
    """Return the file of that name in the package, or the user's own file at that path."""
    known = names_in(package, folder)
    path = Path(name_or_path)
    if str(name_or_path) in known:
        shipped = resources.files(package) / folder / f"{name_or_path}.toml"
        with resources.as_file(shipped) as path:
            return FactFile(path, error)
    if path.suffix != ".toml" and len(path.parts) <= 1:
        hint = _meant(path.name, known) or f"; known: {', '.join(known)}"
        raise error(str(name_or_path), f"unknown name{hint}; or give the path of a .toml file")
    return FactFile(path, error)


def _lines_of(text: str) -> Iterator[tuple[str, int]]:
    """Yield dotted keys and the lines where they stand; good enough to point at."""
    prefix = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            prefix = f"{header[1]}."
            yield header[1], number
        elif key := _KEY.match(line):
            yield prefix + key[1], number


def _meant(word: str, known: Iterable[str]) -> str:
    close = get_close_matches(word, known, n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def _one_of(words: Iterable[str]) -> str:
    return " or ".join(repr(word) for word in words)
