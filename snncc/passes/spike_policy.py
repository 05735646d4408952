"""What a user lets pass: who may read floats, which counts are in order, which findings are known.

A policy never hides a finding: what it lets pass is shown, with the reason.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, get_args

from snncc.diagnostics.core import Diagnostic
from snncc.ir.domain import Domain, Grid

Encoder = Literal["any", "grid", "spike"]
Head = Literal["float", "spike"]


@dataclass(frozen=True)
class Allowance:
    """Findings of one rule at module paths like ``path``, let pass; ``reason`` says why.

    One without a reason was given on the command line.
    """

    code: str
    path: str = ""
    reason: str = ""

    @classmethod
    def of(cls, text: str) -> Allowance:
        """Return ``CODE`` or ``CODE:path-glob`` as an allowance."""
        code, _, path = text.partition(":")
        return cls(code, path)

    def __str__(self) -> str:
        return f"{self.code}:{self.path}" if self.path else self.code

    @property
    def origin(self) -> str:
        """What a finding says that it is allowed by."""
        return f"policy: {self}, because {self.reason}" if self.reason else f"option: {self}"

    def covers(self, finding: Diagnostic) -> bool:
        """Whether the finding is one of those."""
        path = finding.source.module
        return self.code == finding.rule.code and fnmatchcase(path, self.path or "*")


@dataclass(frozen=True)
class Policy:
    """What may pass beside spikes.

    ``encoder``: what the first weighted op may read: ``any`` input, one on a ``grid`` (pixels,
    counts of events), or ``spike`` alone. ``head``: whether the last one may read ``float`` or a
    ``spike`` alone. ``multi_level`` D: counts of up to D that an integer-firing neuron makes, for
    they are D binary sub-steps; published networks have D = 1 to 8. ``allow`` lists findings that
    are known. Raises ``ValueError`` for a value that none of them takes.
    """

    encoder: Encoder = "any"
    head: Head = "float"
    multi_level: int = 8
    allow: tuple[Allowance, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no policy can say, by name and value."""
        for name, words in (("encoder", get_args(Encoder)), ("head", get_args(Head))):
            value = getattr(self, name)
            if value not in words:
                raise ValueError(f"{name} must be one of {', '.join(words)}, got {value!r}")
        if not isinstance(self.multi_level, int) or self.multi_level < 1:
            raise ValueError(f"multi_level must be a whole number from 1, got {self.multi_level!r}")
        if not all(isinstance(each, Allowance) for each in self.allow):
            raise ValueError(f"allow must hold Allowance objects, got {self.allow!r}")

    def allowing(self, options: tuple[str, ...]) -> Policy:
        """Return the policy with ``CODE`` or ``CODE:path-glob`` options added."""
        return dataclasses.replace(self, allow=(*self.allow, *map(Allowance.of, options)))

    def encoder_may_read(self, domain: Domain) -> bool:
        """Whether an encoder may read this."""
        return self.encoder == "any" or (self.encoder == "grid" and isinstance(domain, Grid))

    @property
    def head_may_read_floats(self) -> bool:
        """Whether a head may read anything but spikes."""
        return self.head == "float"


USUAL = Policy()
"""The policy of who gave none: encoder and head may read anything; counts pass as published."""
