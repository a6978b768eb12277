"""Connects to a Crazyflie by cflib, or says in one sentence why that does not work.

Only what is needed to fly is checked: the protocol's version, the variables in the tables of
contents, and that somebody answers at all.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from time import perf_counter

import cflib.crazyflie
import cflib.crtp
from cflib.crazyflie import Crazyflie
from cflib.crtp.udpdriver import UdpDriver

from snn_controller.errors import UserError
from snn_controller.flight_controllers.crazyflie.messages import check_endpoint

OLDEST_PROTOCOL = 7  # of CRTP, the oldest that this link has met
ANSWER_TIME = 5.0  # s for a first packet
CONNECTION_TIME = 40.0  # s for the tables of contents and all parameters, over a poor radio link
CLOSING_TIME = 2.0  # s after which a link that does not close is left to itself
PERMISSION_HINT = (
    "this user may not use the USB device: write the line"
    ' SUBSYSTEM=="usb", ATTRS{idVendor}=="1915", ATTRS{idProduct}=="7777", MODE="0664",'
    ' GROUP="plugdev" (Crazyradio; 0483 and 5740 for the Crazyflie\'s own USB) into'
    " /etc/udev/rules.d/99-bitcraze.rules, add the user to plugdev, and plug the device in again"
)
# What cflib's errors mean: a part of their text, and words for people. The first that fits counts.
_FAILURES = (
    ("Cannot find a Crazyradio Dongle", "no Crazyradio was found on USB; plug it in"),
    ("Cannot find radio with serial", "no Crazyradio of this serial number is plugged in"),
    ("Could not open usb", "no Crazyflie was found on USB; plug it in and switch it on"),
    ("Access denied", PERMISSION_HINT),
    ("insufficient permissions", PERMISSION_HINT),
    ("no langid", PERMISSION_HINT),
    ("No backend", "libusb is missing; pip install libusb-package"),
    ("busy", "another program uses the radio; close it"),
    ("refused", "nobody listens there; start the vehicle, or correct the endpoint"),
    ("Too many packets lost", "nobody answers; switch it on and check channel, rate and address"),
    ("not known", "this host is unknown; correct the endpoint"),
)


class ResendingUdpDriver(UdpDriver):
    """cflib's UDP link; without asking again, one lost datagram would hang the connection."""

    def __init__(self) -> None:
        """As cflib's, but not trusting the net."""
        super().__init__()
        self.needs_resending = True


class DaemonTimer(threading.Timer):
    """What cflib repeats packets by. Where a link breaks in the wrong moment, its lock stays taken.

    A timer that waits for it must not keep the process from ending.
    """

    def __init__(self, interval: float, function: Callable[[], None]) -> None:
        """As any timer, but a daemon."""
        super().__init__(interval, function)
        self.daemon = True


def connect(
    endpoint: str, needed_logs: Iterable[str], needed_parameters: Iterable[str]
) -> Crazyflie:
    """Return the connected Crazyflie at an endpoint, with tables and parameters loaded. Blocks.

    Raises:
        UserError: The endpoint, the radio, the vehicle or its firmware is not fit.
    """
    check_endpoint(endpoint)
    _prepare_cflib()
    cf = Crazyflie()
    news: SimpleQueue[tuple[str, str]] = SimpleQueue()
    cf.link_established.add_callback(lambda uri: news.put(("answered", "")))
    cf.fully_connected.add_callback(lambda uri: news.put(("ready", "")))
    cf.connection_failed.add_callback(lambda uri, message: news.put(("failed", message)))
    cf.connection_lost.add_callback(lambda uri, message: news.put(("failed", message)))
    # cflib's pings cost bandwidth, and their thread can deadlock where the link breaks.
    cf.connected.add_callback(lambda uri: cf.link_statistics.stop())
    try:
        cf.open_link(endpoint)
        _wait_for("answered", news, endpoint, ANSWER_TIME)
        _wait_for("ready", news, endpoint, CONNECTION_TIME)
        _check_firmware(cf, endpoint, needed_logs, needed_parameters)
        # From here on a packet that looks like the version must not begin the set-up anew, which
        # would end all logs in flight.
        cf.platform.fetch_platform_informations(_do_nothing)
    except UserError:
        close(cf)
        raise
    return cf


def close(cf: Crazyflie) -> None:
    """Close the link, but do not wait for ever: cflib can hang where a link has broken."""
    closing = threading.Thread(target=cf.close_link, name="crazyflie_closing", daemon=True)
    closing.start()
    closing.join(CLOSING_TIME)


def failure_in_words(endpoint: str, message: str) -> str:
    """Return one sentence for what cflib says, which may be a whole traceback."""
    lowered = message.lower()
    for part, words in _FAILURES:
        if part.lower() in lowered:
            return f"Crazyflie at {endpoint}: {words}"
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return f"Crazyflie at {endpoint} cannot be reached: {lines[0] if lines else 'no reason given'}"


def _prepare_cflib() -> None:
    """Register the drivers once, and keep cflib from printing: errors are told by sentences."""
    if not any(driver is ResendingUdpDriver for driver in cflib.crtp.CLASSES):
        cflib.crtp.init_drivers()
        cflib.crtp.CLASSES.insert(0, ResendingUdpDriver)
        cflib.crazyflie.Timer = DaemonTimer
    logger = logging.getLogger("cflib")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    # Older firmware has its supervisor elsewhere, which cflib finds worth a warning per command.
    warnings.filterwarnings("ignore", message="The supervisor subsystem requires")


def _wait_for(
    wanted: str, news: SimpleQueue[tuple[str, str]], endpoint: str, patience: float
) -> None:
    deadline = perf_counter() + patience
    while True:
        try:
            kind, message = news.get(timeout=max(deadline - perf_counter(), 0.0))
        except Empty:
            trouble = {
                "answered": "nobody answers; switch it on, and check the endpoint",
                "ready": f"it answers but has not told all about itself within {patience:g} s;"
                " bring it nearer, or check that it is a Crazyflie",
            }
            raise UserError(f"Crazyflie at {endpoint}: {trouble[wanted]}") from None
        if kind == wanted:
            return
        if kind == "failed":
            raise UserError(failure_in_words(endpoint, message))


def _check_firmware(
    cf: Crazyflie, endpoint: str, needed_logs: Iterable[str], needed_parameters: Iterable[str]
) -> None:
    update = "update its firmware with cfclient or cfloader"
    version = cf.platform.get_protocol_version()
    if version < OLDEST_PROTOCOL:
        raise UserError(
            f"Crazyflie at {endpoint}: its firmware is too old (protocol {version}, this link needs"
            f" {OLDEST_PROTOCOL}); {update}"
        )
    for kind, toc, names in (
        ("log variable", cf.log.toc, needed_logs),
        ("parameter", cf.param.toc, needed_parameters),
    ):
        missing = [n for n in names if not toc or not toc.get_element_by_complete_name(n)]
        if missing:
            raise UserError(
                f"Crazyflie at {endpoint}: its firmware has no {kind} {missing[0]}; {update}"
            )


def _do_nothing() -> None:
    pass
