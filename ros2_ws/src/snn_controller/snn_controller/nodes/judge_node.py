"""The judge: records a flight, and says when it is over whether all was as it should be.

It only listens. Exit code 0 when every check has passed, 1 when one has not.
"""

from __future__ import annotations

import sys
from pathlib import Path
from time import monotonic

from snn_controller.errors import UserError
from snn_controller.flight import JudgeSettings
from snn_controller.judge import judge, summary_lines, write_judgement
from snn_controller.nodes.observer import Witness
from snn_controller.nodes.recorder_node import RecorderNode
from snn_controller.nodes.ros.main import run_node, steady_clock
from snn_controller.nodes.ros.ownership import NodeClaim
from snn_controller.paths import check_writable

LOOK_PERIOD = 0.25  # s between looks at whether the flight is over


class JudgeNode(RecorderNode):
    """A recorder that reads what it records; ends with the flight, or when asked to."""

    def __init__(self) -> None:
        """Begin to listen.

        Raises:
            UserError: A parameter is wrong, or the files cannot be written.
        """
        super().__init__("judge", JudgeSettings)
        assert isinstance(self.settings, JudgeSettings)
        self._judging: JudgeSettings = self.settings
        if not self._judging.report:
            raise UserError("parameter 'report' is empty; give the folder of the verdict")
        check_writable(Path(self._judging.report))
        self._claim = NodeClaim(self)  # shows others that somebody listens
        self._witness = Witness(self)
        self._began = self._heard = monotonic()
        self.create_timer(LOOK_PERIOD, self._look_for_the_end, clock=steady_clock())

    def destroy_node(self) -> None:
        """Leave the graph, and the name to others."""
        super().destroy_node()
        self._claim.release()

    def close(self, reason: str) -> None:
        """Judge what has been seen so far."""
        super().close(reason)
        if self.exit_code is not None:  # the disk is full: the bag is not whole
            return
        judgement = judge(self._witness.evidence, self._judging)
        path = write_judgement(Path(self._judging.report), judgement, self._judging)
        print(*summary_lines(judgement), f"judgement: {path}", sep="\n", flush=True)
        self.exit_code = 0 if judgement.passed else 1

    def _take(self, topic: str, message_type: str, data: bytes) -> None:
        commands = len(self._witness.evidence.commands)
        super()._take(topic, message_type, data)
        self._witness.take(topic, data)
        if len(self._witness.evidence.commands) > commands:
            self._heard = monotonic()

    def _look_for_the_end(self) -> None:
        if self.exit_code is not None:
            return
        settings, now = self._judging, monotonic()
        flown = bool(self._witness.evidence.commands)
        patience = settings.patience if flown else settings.startup_time
        if now - self._heard > patience:
            self.close(f"no command for {patience:g} s")
        elif now - self._began > settings.time_limit:
            self.close(f"the flight is not over after {settings.time_limit:g} s")


def main() -> None:
    """Run the judge node."""
    sys.exit(run_node(JudgeNode))


if __name__ == "__main__":
    main()


if __name__ == "__main__":
    main()
