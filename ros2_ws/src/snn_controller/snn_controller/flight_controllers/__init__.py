"""Links to flight controllers, one package each, and the registry that opens them by name.

A link never decides anything: `Flight` does, the control loop carries it out. Calls come from one
thread and must not block; what takes time is begun by the call and reported by a later `poll`.
"""

from snn_controller.flight_controllers.registry import (
    LINKS,
    LinkOptions,
    PaceOptions,
    open_link,
)

__all__ = [
    "LINKS",
    "LinkOptions",
    "PaceOptions",
    "open_link",
]
