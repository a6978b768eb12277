"""Names that only one process of this machine may hold: vehicles, nodes and topics are claimed."""

from __future__ import annotations

import socket
import sys

from snn_controller.errors import UserError

MAX_NAME = 100  # bytes, a little less than the name of a socket may have


def hold_name(name: str) -> socket.socket | None:
    """Return a socket that holds a name until it is closed; None where another one holds it.

    The kernel frees the name with the process, however that ends. Network namespaces, and so most
    containers, have names of their own.
    """
    holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    if sys.platform != "linux":
        return holder  # names without a file exist there only
    try:
        holder.bind(f"\0snn_controller/{name}".encode()[:MAX_NAME])
    except OSError:
        holder.close()
        return None
    return holder


def claim_endpoint(endpoint: str) -> socket.socket:
    """Return a socket that keeps other links of this machine from an endpoint until it is closed.

    Two controllers of one vehicle would pull it back and forth.

    Raises:
        UserError: Another link uses the endpoint.
    """
    holder = hold_name(endpoint)
    if holder is None:
        raise UserError(f"another controller flies the vehicle at {endpoint}; stop it first")
    return holder
