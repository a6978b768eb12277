"""Betaflight by MSP, over TCP or a serial port."""

from snn_controller.flight_controllers.betaflight import msp_messages
from snn_controller.flight_controllers.betaflight.byte_stream import ByteStream, open_stream
from snn_controller.flight_controllers.betaflight.link import Betaflight, open_betaflight
from snn_controller.flight_controllers.betaflight.msp import MspClient
from snn_controller.flight_controllers.betaflight.vehicle import read_vehicle
from snn_controller.flight_controllers.betaflight.worker import MspPump

__all__ = [
    "Betaflight",
    "ByteStream",
    "MspClient",
    "MspPump",
    "msp_messages",
    "open_betaflight",
    "open_stream",
    "read_vehicle",
]
