"""Parameters of the viewer node, which shows a flight while it flies. ROS-free."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass

from snn_controller.declaration import setting
from snn_controller.errors import UserError, quote

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8765


@dataclass(frozen=True)
class ViewerSettings:
    """Parameters of the viewer node."""

    foxglove: bool = setting(False, "serve the flight to Foxglove by WebSocket")
    foxglove_host: str = setting(
        DEFAULT_HOST, "address to serve at; 0.0.0.0 lets everybody on the network watch"
    )
    foxglove_port: int = setting(
        DEFAULT_PORT, "port to serve at; 0 for any that is free", low=0, high=65535
    )
    view_rate: float = setting(25.0, "wall rate of markers and plots in Hz", low=1.0, high=100.0)
    shown_membranes: int = setting(
        4, "neurons per layer whose membrane potential is shown", low=0, high=100
    )
    launcher_pid: int = setting(0, "end when this parent process is gone; 0 to live alone", low=0)


NO_FOXGLOVE = (
    "foxglove-sdk is not installed, so nothing can be served; pip install -e '.[viz]', or leave"
    " foxglove:=true away"
)


def check_address(host: str, port: int) -> None:
    """Make sure that something can be served at an address.

    Raises:
        UserError: The port is taken or not ours to open, or the address is not of this machine.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        socket.create_server(address, family=family).close()
    except (OSError, UnicodeError) as error:
        raise UserError(_why_not(host, port, error)) from error


def _why_not(host: str, port: int, error: Exception) -> str:
    if getattr(error, "errno", None) == errno.EADDRINUSE:
        return f"port {port} of {host} is taken; stop who has it, or give foxglove_port:=PORT"
    if getattr(error, "errno", None) == errno.EACCES:
        return f"port {port} is not ours to open; give foxglove_port:=PORT above 1023"
    return (
        f"nothing can be served at '{quote(host)}' ({quote(error)}); give an address of this"
        " machine as foxglove_host:=ADDRESS"
    )
