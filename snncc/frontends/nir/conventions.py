"""What a NIR file leaves to its reader: time steps, integration, reset and comparison.

NIR writes a neuron as ``tau dv/dt = v_leak - v + r i`` with a jump to ``v_reset``; the frameworks
compute time steps. Each has its own way from one to the other, its exporter writes ``tau`` and
``r`` in its own units, and the file does not say whose it is:

==============  =======================================  ==================  =======
framework       ``tau``, ``r`` in the file               reset               fires at
==============  =======================================  ==================  =======
NIR itself      seconds; Euler, dt = 0.0001              to ``v_reset``      ``>``
snnTorch 1.0    dt / (1 - beta), tau / dt; dt = 0.0001   soft, one late*     ``>``
SpikingJelly 2  tau dt, 1 or tau; dt = 0.0001            to ``v_reset``      ``>=``
Norse 1.1       dt**2 / rate, 1; dt = 0.001              to ``v_reset``      ``>``
sinabs 3.1      time steps, exp(-1 / tau), 1             soft*               ``>=``
==============  =======================================  ==================  =======

A synaptic current (``CubaLIF``) is updated first, and the potential of the same step sees the
updated one, everywhere. Its input is weighed as the equation says, ``I += rate (w_in X - I)``.
Norse adds it whole, ``I = keep I + w_in X``. sinabs leaks what it has just added, ``I = keep (I +
w_in X)``, and its exporter drops ``tau_syn``.

A star: the exporter drops what the module says and writes ``v_reset = 0`` (sources:
``snntorch/export_nir.py``, ``spikingjelly/activation_based/nir_exchange/to_nir.py``,
``norse/torch/utils/export_nir.py``, ``sinabs/nir.py`` of those releases).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from snncc.ir.claims import MOST_STEPS

Reset: TypeAlias = Literal["hard", "soft", "soft-late"]
Entry: TypeAlias = Literal["weighed", "whole", "leaked"]


@dataclass(frozen=True)
class Convention:
    """How time steps are made of the equations.

    ``tau_unit_s`` is what 1 in the file's ``tau`` means in seconds. With ``exact`` a step decays by
    ``exp(-dt / tau)``, and with ``norm_input`` the input is multiplied by one minus that. IF adds
    ``r dt`` of its input where ``if_per_second``, else ``r``. A ``soft-late`` reset takes the
    threshold off in the next step, behind the leak. ``entry`` is how an input enters a current that
    outlasts a step: weighed by its rate, whole, or leaked at once.
    """

    framework: str = "nir"
    dt_s: float = 1e-4
    tau_unit_s: float = 1.0
    exact: bool = False
    norm_input: bool = True
    if_per_second: bool = True
    reset: Reset = "hard"
    strict: bool = True
    entry: Entry = "weighed"

    def rate(self, tau: float) -> float:
        """Return which share of a potential or current leaks in a step; more than 1 is no leak."""
        ratio = self.dt_s / (tau * self.tau_unit_s)
        return tidy(-math.expm1(-ratio) if self.exact else ratio)

    def gain(self, rate: float, r: float) -> float:
        """Return what one step of a leaky neuron adds for an input of 1."""
        return tidy(r if self.exact and not self.norm_input else rate * r)

    def drive(self, rate: float, weight: float) -> float:
        """Return what one step adds to a synaptic current for an input of 1."""
        if self.entry == "weighed":
            return self.gain(rate, weight)
        return tidy(weight if self.entry == "whole" else (1 - rate) * weight)

    def gain_without_leak(self, r: float) -> float:
        """Return what one step of IF adds for an input of 1."""
        return tidy(r * self.dt_s if self.if_per_second else r)

    def __str__(self) -> str:
        steps = f"exp(-{self.dt_s:g} s / tau)" if self.exact else f"Euler steps of {self.dt_s:g} s"
        resets = {"hard": "to v_reset", "soft": "by the threshold", "soft-late": "by the threshold"}
        late = " one step late" if self.reset == "soft-late" else ""
        fires = "above" if self.strict else "at"
        return f"{steps}, spikes {fires} the threshold, reset {resets[self.reset]}{late}"


CONVENTIONS: Mapping[str, Convention] = {
    "nir": Convention(),
    "snntorch": Convention("snntorch", reset="soft-late"),
    "spikingjelly": Convention("spikingjelly", strict=False),
    "norse": Convention("norse", dt_s=1e-3, tau_unit_s=1e3, if_per_second=False, entry="whole"),
    "sinabs": Convention(
        "sinabs",
        dt_s=1.0,
        exact=True,
        if_per_second=False,
        reset="soft",
        strict=False,
        entry="leaked",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """A convention, and what a file knows nothing of: time steps, their input, and the answer."""

    convention: Convention
    steps: int = 4
    varies: bool = False
    mean: bool = False


SETTINGS = (
    "framework", "T", "dt", "integration", "norm_input", "reset", "compare", "input", "readout",
)  # fmt: skip


def reading_of(settings: Mapping[str, str]) -> Reading:
    """Return how a file is read under ``--set``. Raises ``ValueError`` saying what was wanted."""
    values = {name: _CHECKED[name](name, text) for name, text in settings.items()}
    convention = CONVENTIONS[values.pop("framework", "nir")]
    fields = {_FIELDS[name]: value for name, value in values.items() if name in _FIELDS}
    if "dt_s" in fields and convention.framework == "norse":
        # Its exporter multiplies by dt where it should not: the unit of tau follows dt.
        fields["tau_unit_s"] = 1 / fields["dt_s"]
    steps, varies = values.get("T", 4), values.get("input", False)
    return Reading(replace(convention, **fields), steps, varies, values.get("readout", False))


_FIELDS = {
    "dt": "dt_s", "integration": "exact", "norm_input": "norm_input", "reset": "reset",
    "compare": "strict",
}  # fmt: skip


def _steps(name: str, text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text[:9]) <= MOST_STEPS:
        raise ValueError(f"`{name}={text}`: wanted 1 to {MOST_STEPS} time steps")
    return int(text)


def _seconds(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise ValueError(f"`{name}={text}`: wanted a number of seconds above zero")
    return value


def _one_of(**meant: Any) -> Callable[[str, str], Any]:
    def chosen(name: str, text: str) -> Any:
        key = text.replace("-", "_")
        if key not in meant:
            known = ", ".join(meant).replace("_", "-")
            raise ValueError(f"`{name}={text}`: wanted one of {known}")
        return meant[key]

    return chosen


_CHECKED: Mapping[str, Callable[[str, str], Any]] = {
    "framework": _one_of(**{name: name for name in CONVENTIONS}),
    "T": _steps,
    "dt": _seconds,
    "integration": _one_of(euler=False, exact=True),
    "norm_input": _one_of(true=True, false=False),
    "reset": _one_of(hard="hard", soft="soft", soft_late="soft-late"),
    "compare": _one_of(above=True, reached=False),
    "input": _one_of(image=False, events=True),
    "readout": _one_of(sum=False, mean=True),
}


def tidy(value: float) -> float:
    """Return the number without the rounding of a file's 32-bit floats.

    The value itself, its inverse or its distance from 1 is taken for a decimal of up to five digits
    where it is one but for 2e-7 of it, or 1e-7 in the last case: a decay of 0.95 is meant so.
    """
    for to, back, near in ((_same, _same, 0.0), (_inverse, _inverse, 0.0), (_rest, _rest, 1e-7)):
        seen = to(value) if value else 0.0
        short = float(f"{seen:.5g}")
        if short and abs(seen - short) <= (near or 2e-7 * abs(short)):
            return back(short)
    return value


def _same(x: float) -> float:
    return x


def _inverse(x: float) -> float:
    return 1 / x


def _rest(x: float) -> float:
    return 1 - x
