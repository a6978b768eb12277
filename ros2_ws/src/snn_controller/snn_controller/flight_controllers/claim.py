"""Keeps a second controller of this machine from a vehicle that is flown already."""

from __future__ import annotations

import socket
import sys

from snn_controller.errors import UserError

MAX_NAME = 100  # characters, a little less than the name of a socket may have


def claim_endpoint(endpoint: str) -> socket.socket:
    """Return a socket that keeps other links of this machine from an endpoint until it is closed.

    Two controllers of one vehicle would pull it back and forth. The claim ends with the process.

    Raises:
        UserError: Another link uses the endpoint.
    """
    holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    if sys.platform == "linux":  # names without a file exist there only
        try:
            holder.bind(f"\0snn_controller/{endpoint}"[:MAX_NAME])
        except OSError as error:
            holder.close()
            raise UserError(
                f"another controller flies the vehicle at {endpoint}; stop it first"
            ) from error
    return holder
