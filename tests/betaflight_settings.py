"""Prints what the real firmware answers to the questions of the link, as JSON; run isolated."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from betaflight_double import SETTINGS
from snn_controller.flight_controllers.byte_stream import open_stream
from snn_controller.flight_controllers.msp_client import MspClient

from sim.betaflight_sitl import ENDPOINT, BetaflightSitl

if __name__ == "__main__":
    with BetaflightSitl(Path(sys.argv[1])):
        client = MspClient(open_stream(ENDPOINT), ENDPOINT)
        answers = {command: list(client.ask(command)) for command in SETTINGS}
        client.close()
    print(json.dumps(answers))
