"""A spiking policy's own signs of failure: layers that have fallen silent, or fire as one."""

from __future__ import annotations

from snn_controller.guards.limits import Limits
from snn_controller.guards.verdicts import Verdict
from snn_controller.policy import Policy


class NeuronGuard:
    """Judges neuron states and spikes after each tick of the policy."""

    def __init__(self, limits: Limits, rate: float) -> None:
        """Judge a policy that ticks at `rate` Hz."""
        self._window, self._rate = limits.layer_window, rate
        self._ticks = max(1, round(limits.layer_window * rate))
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        self._silent: dict[str, int] = {}  # ticks in a row, by layer
        self._firing: dict[str, int] = {}

    def check(self, policy: Policy) -> Verdict | None:
        """Say what is wrong with the network that has just ticked, or None."""
        if not policy.state_is_finite():
            return Verdict("neurons", "a neuron state of the policy is not finite")
        for layer, share in policy.spike_shares().items():
            self._silent[layer] = self._silent.get(layer, 0) + 1 if share == 0.0 else 0
            self._firing[layer] = self._firing.get(layer, 0) + 1 if share == 1.0 else 0
            if self._silent[layer] >= self._ticks and self._is_too_long(policy, layer):
                return Verdict("silent", self._reason("no neuron of", layer, "for"))
            if self._firing[layer] >= self._ticks:
                return Verdict("firing", self._reason("every neuron of", layer, "in each tick of"))
        return None

    def _is_too_long(self, policy: Policy, layer: str) -> bool:
        """Whether a layer is silent for longer than the policy says that it may be."""
        normal = next(x.silence for x in policy.metadata.layers if x.name == layer)
        return self._silent[layer] > normal * self._rate

    def _reason(self, who: str, layer: str, how_long: str) -> str:
        seconds = max(self._window, self._silent[layer] / self._rate)
        return f"{who} layer '{layer}' has fired {how_long} {seconds:g} s"
