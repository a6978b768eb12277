"""Prints what the real firmware answers to the questions of the link, as JSON; run isolated."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from snn_controller.flight_controllers.betaflight.msp import MspClient, open_stream
from snn_sim.betaflight.sitl import ENDPOINT, BetaflightSitl
from support.betaflight_double import SETTINGS

if __name__ == "__main__":
    with BetaflightSitl(Path(sys.argv[1])):
        client = MspClient(open_stream(ENDPOINT), ENDPOINT)
        answers = {command: list(client.ask(command)) for command in SETTINGS}
        client.close()
    print(json.dumps(answers))
