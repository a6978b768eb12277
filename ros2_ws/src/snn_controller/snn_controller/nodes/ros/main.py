"""How every node runs: one executor, clean signals, a parent to watch, sentences for errors.

Here too: what only one node of a domain may have, claimed at the start or refused in a sentence.
Discovery may take seconds, and sees nothing of a node that starts at the same instant, so nodes of
one machine hold a name of the kernel too.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, Protocol

import rclpy
from rclpy.clock import Clock, ClockType  # pyright: ignore[reportPrivateImportUsage]
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import try_shutdown

from snn_controller.errors import UserError, quote_end
from snn_controller.paths import LOG_VARIABLE, log_folder
from snn_controller.system import hold_name

EXIT_USER_ERROR = 2
EXIT_ORPHANED = 3
EXIT_INTERNAL = 70  # EX_SOFTWARE
SPIN_PERIOD = 0.05  # s, how soon a signal or the launcher's end is noticed
_UNKNOWN = "UNKNOWN"  # part of the names of nodes that are not fully discovered yet


class RunnableNode(Protocol):
    """A node that says when it has ended and can be ended from outside."""

    exit_code: int | None  # None while running
    launcher_pid: int  # 0 where nobody is watched

    def close(self, reason: str) -> None:
        """Leave everything safe: motors stopped, files closed. `reason` is a sentence."""
        ...


def run_node(create: Callable[[], Any]) -> int:
    """Run a node until it ends, a signal comes or its launcher is gone; return the exit code.

    Motors are stopped on every way out, which is why signals are handled here and not by rclpy:
    its handlers shut the context down before a last command could be published.
    """
    signals = _SignalFlag()
    node = None
    try:
        start_ros()
        node = _create(create)
        return _spin(node, signals)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return EXIT_USER_ERROR
    finally:
        signals.ignore()  # a second Ctrl-C must not interrupt the clean-up
        if node is not None:
            node.destroy_node()
        try_shutdown()


def make_executor() -> Any:
    """Return the fastest executor there is: events where rclpy has them (Jazzy and later)."""
    try:
        from rclpy.experimental.events_executor import EventsExecutor
    except ImportError:
        return SingleThreadedExecutor()
    return EventsExecutor()


def steady_clock() -> Clock:
    """Return a clock of wall time that nobody can set, for timers beside a simulated time."""
    return Clock(clock_type=ClockType.STEADY_TIME)


def start_ros(words: list[str] | None = None) -> None:
    """Start ROS with the words of a command line, by default the process's own.

    Its logs go to a temporary folder where the usual one cannot be written.

    Raises:
        UserError: ROS refuses: a broken parameter file, an impossible domain, no keystore.
    """
    os.environ.update(log_folder(os.environ))
    try:
        rclpy.init(args=words, signal_handler_options=SignalHandlerOptions.NO)
    except (RuntimeError, ValueError) as error:  # rcl's own errors
        raise UserError(explain_start(str(error))) from error


# What rcl says, and where in its own source, which is nobody's business.
_REFUSED_FILE = re.compile(
    r"parse params file: '--params-file (?P<file>.*)'\. Error: (?P<cause>.*)"
)
_SOURCE_LINES = re.compile(r"(,? at [^ ]+\.(c|cpp|h|hpp):\d+)+$")


def explain_start(error: str) -> str:
    """Return the sentence for an error with which ROS refuses to start: the cause and its mend.

    A parameter file's path may be of any length; it must not push out the cause and the line.
    """
    text = _SOURCE_LINES.sub("", " ".join(error.split()).replace(" , at ", ", at "))
    mend = "check the parameter file, ROS_DOMAIN_ID and ROS_SECURITY_KEYSTORE"
    refused = _REFUSED_FILE.search(text)
    if refused is not None:
        text = f"{quote_end(refused['file'])}: {quote_end(refused['cause'])}"
        mend = "check the parameter file at that line"
    else:
        text = quote_end(text)  # the cause stands last
    if "Sequence should be of same type" in text:
        mend = "write all values of a list alike: among numbers with a point 3.0 instead of 3"
    if "log directory" in text:
        mend = f"set {LOG_VARIABLE} to a folder that can be written"
    return f"ROS does not start ({text}); {mend}"


def _create(create: Callable[[], Any]) -> Any:
    """Create a node; say so where the middleware lacks the security that was asked for."""
    try:
        return create()
    except RuntimeError as error:
        if "security libraries" not in str(error):
            raise
        raise UserError(
            "ROS_SECURITY_ENABLE is true, but this ROS 2 is built without DDS security, as its"
            " wheels are; use a ROS 2 installation that has it, or unset the variable"
        ) from error


def _spin(node: RunnableNode, signals: _SignalFlag) -> int:
    executor = make_executor()
    executor.add_node(node)
    try:
        # spin() of the events executor busy-loops in the wheels; spin_once() is sound everywhere.
        while node.exit_code is None:
            executor.spin_once(timeout_sec=SPIN_PERIOD)
            if signals.name is not None:
                node.close(f"ended by {signals.name}")
                return node.exit_code or 0
            if node.launcher_pid and os.getppid() != node.launcher_pid:
                node.close("the launcher is gone")
                return EXIT_ORPHANED
        return node.exit_code
    except ExternalShutdownException:
        return EXIT_ORPHANED
    except BaseException:
        node.close("an internal error")  # motors stopped before the traceback
        raise
    finally:
        executor.remove_node(node)
        executor.shutdown()


class _SignalFlag:
    """Remembers the first SIGINT or SIGTERM."""

    def __init__(self) -> None:
        self.name: str | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._remember)

    def ignore(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)

    def _remember(self, number: int, _frame: FrameType | None) -> None:
        self.name = self.name or signal.Signals(number).name


class NodeClaim:
    """The right to be the one node of a name, held until `release` or the end of the process.

    A request to one of two nodes with the same name may reach the other, or both.
    """

    def __init__(self, node: Node) -> None:
        """Claim the node's own name.

        Raises:
            UserError: Another node of this machine has it.
        """
        name, domain = node.get_fully_qualified_name(), node.context.get_domain_id()
        self._socket = hold_name(f"node/{domain}{name}")
        if self._socket is None:
            raise UserError(
                f"another node {name} is up in ROS_DOMAIN_ID {domain}; stop it or choose another"
                " ROS_DOMAIN_ID"
            )

    def release(self) -> None:
        """Leave the name to others."""
        if self._socket is not None:
            self._socket.close()


class TopicClaim:
    """The right to publish a topic, held until `release` or the end of the process."""

    def __init__(self, node: Node, topic: str, what: str) -> None:
        """Claim a topic for a node that does not publish it yet.

        Args:
            node: The node that wants the topic.
            topic: Name of the topic.
            what: What is published on it, for the sentence.

        Raises:
            UserError: Another node publishes it.
        """
        name = node.resolve_topic_name(topic)
        domain = node.context.get_domain_id()
        self._socket = hold_name(f"{domain}{name}")
        others = node.get_publishers_info_by_topic(name)
        if self._socket is None or others:
            self.release()
            owners = [f"{x.node_namespace.rstrip('/')}/{x.node_name}" for x in others]
            owner = next((f"node {o}" for o in owners if _UNKNOWN not in o), "another node")
            raise UserError(
                f"{owner} already publishes {what} on {name} in ROS_DOMAIN_ID {domain}; stop it or"
                " choose another ROS_DOMAIN_ID"
            )

    def release(self) -> None:
        """Leave the topic to others."""
        if self._socket is not None:
            self._socket.close()
