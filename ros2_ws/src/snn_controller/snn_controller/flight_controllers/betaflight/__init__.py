"""Betaflight by MSP, over TCP or a serial port."""

from snn_controller.flight_controllers.betaflight import msp_messages
from snn_controller.flight_controllers.betaflight.link import Betaflight, MspWorker, open_betaflight
from snn_controller.flight_controllers.betaflight.msp import ByteStream, MspClient, open_stream
from snn_controller.flight_controllers.betaflight.vehicle import read_vehicle

__all__ = [
    "Betaflight",
    "ByteStream",
    "MspClient",
    "MspWorker",
    "msp_messages",
    "open_betaflight",
    "open_stream",
    "read_vehicle",
]
