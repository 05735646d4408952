"""The rules about neurons that are called once a time step, with the texts of ``snncc explain``."""

from __future__ import annotations

from snncc.diagnostics.core import Severity, rule

POTENTIAL_READ = rule(
    "SNN156",
    "potential-read",
    Severity.ERROR,
    """
    Something reads the membrane potential of a layer of neurons.

    Only spikes leave a neuron. Code that calls a layer once a time step gets spikes and potential;
    the potential may be handed to the next call and to nothing else that the answer depends on.
    Count the spikes, or put a layer behind the neurons that sums currents over time.

    Fails, because the answer is made of potentials:

        for t in range(T):
            spikes, potential = self.lif(self.fc(x), potential)
        return potential

    Mended:

        for t in range(T):
            spikes, potential = self.lif(self.fc(x), potential)
            count = count + spikes
        return count
    """,
)

CALLS_NOT_IN_STEP = rule(
    "SNN157",
    "neuron-calls-not-in-step",
    Severity.ERROR,
    """
    The calls of a layer of neurons, one a time step, do not follow each other as a layer's do.

    The state of a call is handed to two others, or the current of a step is made of spikes that
    the layer itself (or one behind it) gave in an earlier step: a recurrent connection, which has
    no place in a step graph.

    Fails, because a layer reads its own spikes:

        for t in range(T):
            spikes, potential = self.lif(self.fc(x) + self.back(spikes), potential)

    Mended:

        for t in range(T):
            spikes, potential = self.lif(self.fc(x), potential)
    """,
)
