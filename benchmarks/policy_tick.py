"""Time of one `Policy.step`: back to back, and paced as in flight, where caches are cold.

    python benchmarks/policy_tick.py --policy FILE --rates 100 500 --ticks 2000

Beside it, the bare onnxruntime call that it is made of, alternating tick by tick in one run.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from time import perf_counter, sleep

import numpy as np
from numpy.typing import NDArray

from snn_controller.paths import policy_path
from snn_controller.policy import FIXED_INPUTS, Policy

Step = Callable[[NDArray[np.float32]], object]


def main() -> None:
    """Measure hot and paced ticks and print one table."""
    parser = argparse.ArgumentParser(description="Time of one policy tick, hot and paced.")
    parser.add_argument("--policy", default="", help="policy file; the shipped one if not given")
    parser.add_argument("--rates", type=float, nargs="+", default=[100.0, 500.0], help="Hz")
    parser.add_argument("--ticks", type=int, default=2000, help="per measurement")
    args = parser.parse_args()
    policy = Policy.load(policy_path(args.policy))
    subjects: dict[str, Step] = {"Policy.step": policy.step, "onnxruntime run()": _plain(policy)}
    print(f"{'':20s} {'':8s} {'p50':>9s} {'p99':>9s} {'max':>9s}  us")
    for rate in (None, *args.rates):
        times = measure(subjects, args.ticks, pause=1.0 / rate if rate else 0.0)
        for name, seconds in times.items():
            p50, p99 = np.percentile(seconds * 1e6, [50, 99])
            label = f"{rate:g} Hz" if rate else "hot"
            print(f"{name:20s} {label:8s} {p50:9.1f} {p99:9.1f} {seconds.max() * 1e6:9.1f}")


def measure(subjects: dict[str, Step], ticks: int, pause: float) -> dict[str, NDArray[np.float64]]:
    """Return the time in s of each tick of each subject; the first tenth is warm-up."""
    rng = np.random.default_rng(0)
    observations = rng.normal(0.0, 0.1, (ticks, 18)).astype(np.float32)
    times = {name: np.zeros(ticks) for name in subjects}
    for tick in range(ticks):
        for name, step in subjects.items():
            if pause:
                sleep(pause)
            start = perf_counter()
            step(observations[tick])
            times[name][tick] = perf_counter() - start
    return {name: seconds[ticks // 10 :] for name, seconds in times.items()}


def _plain(policy: Policy) -> Step:
    """Return the same graph run without IO binding, its state carried by hand."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        policy.path.read_bytes(), options, providers=["CPUExecutionProvider"]
    )
    nodes = session.get_inputs()
    states = {x.name: np.zeros(x.shape, np.float32) for x in nodes if x.name not in FIXED_INPUTS}
    given = {x.name: np.zeros(x.shape, np.float32) for x in nodes if x.name in FIXED_INPUTS}
    if "target_return" in given:
        given["target_return"].fill(policy.metadata.target_return)
    outputs = [x.name for x in session.get_outputs()]

    def step(observation: NDArray[np.float32]) -> object:
        given["observation"] = observation[None]
        found = dict(zip(outputs, session.run(None, {**given, **states}), strict=True))
        for name in states:
            states[name] = np.asarray(found[f"{name}_next"])
        if "last_applied_action" in given:
            given["last_applied_action"] = np.asarray(found["action"])
        return found["action"]

    return step


if __name__ == "__main__":
    main()
