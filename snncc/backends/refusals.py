"""Why a format cannot say what a network is: one finding for each reason, however many ops."""

from __future__ import annotations

from dataclasses import dataclass, field

from snncc.diagnostics.core import Diagnostic, Rule, SnnccError
from snncc.ir.graph import Op


@dataclass
class Refusals:
    """The ops that have no form, by rule and reason."""

    _ops: dict[tuple[Rule, str, str], list[Op]] = field(default_factory=dict)

    def add(self, rule: Rule, op: Op, reason: str, hint: str = "") -> None:
        """Note why an op has no form, and what to do about it."""
        self._ops.setdefault((rule, reason, hint), []).append(op)

    def __bool__(self) -> bool:
        return bool(self._ops)

    def error(self) -> SnnccError:
        """Return all reasons as one error; the first op of each is named."""
        return SnnccError(*(_finding(*key, ops) for key, ops in self._ops.items()))


def _finding(rule: Rule, reason: str, hint: str, ops: list[Op]) -> Diagnostic:
    others = len({op.name for op in ops}) - 1
    more = f" and {others} more" if others else ""
    return rule.at(ops[0].source, f"`{ops[0].name}`{more}: {reason}", op=ops[0].kind, hint=hint)
