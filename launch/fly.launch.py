"""Fly a spiking policy: `ros2 launch snn_controller fly.launch.py --show-args`.

Starts the graph that snn_controller/graph.py describes. The launch ends by itself after the flight,
with exit code 0 only if the drone survived.
"""

import os
import sys
from pathlib import Path

from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.events import matches_action
from launch_ros.actions import LifecycleNode, Node
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from lifecycle_msgs.msg import Transition

from launch import LaunchDescription
from snn_controller.bringup.arguments import ARGUMENTS, refuse_unknown
from snn_controller.bringup.graph import fly_graph, loopback


def generate_launch_description():
    """Return the arguments and, once their values are known, the nodes."""
    arguments = [
        DeclareLaunchArgument(
            argument.name,
            default_value=argument.default,
            description=argument.description,
            # The graph takes True and 1 as well; launch would refuse them by the letter.
            choices=None if argument.is_boolean else argument.choices or None,
        )
        for argument in ARGUMENTS
    ]
    local = [SetEnvironmentVariable(name, value) for name, value in loopback(os.environ).items()]
    return LaunchDescription([*arguments, *local, OpaqueFunction(function=_start_graph)])


def _start_graph(context):
    if Path(__file__).name in {Path(word).name for word in sys.argv}:  # not included by another
        refuse_unknown(word.partition(":=")[0] for word in context.argv if ":=" in word)
    values = {a.name: context.launch_configurations[a.name] for a in ARGUMENTS}
    graph = fly_graph(values, launcher_pid=os.getpid(), namespaced=True)
    return [action for spec in graph for action in _node(spec)]


def _node(spec):
    files = [str(spec.parameter_file)] if spec.parameter_file else []
    options = {
        "package": spec.package,
        "executable": spec.executable,
        "name": spec.name,
        "parameters": [*files, spec.parameters] if spec.parameters else [],
        "arguments": list(spec.arguments),
        "output": "screen",
        "on_exit": _end if spec.required else None,
    }
    if not spec.managed:
        return [Node(**options)]
    node = LifecycleNode(namespace="", **options)
    activate = OnStateTransition(
        target_lifecycle_node=node,
        goal_state="inactive",
        start_state="configuring",
        entities=[_transition(node, Transition.TRANSITION_ACTIVATE)],
    )
    return [
        RegisterEventHandler(activate),
        node,
        _transition(node, Transition.TRANSITION_CONFIGURE),
    ]


def _transition(node, transition):
    event = ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=transition)
    return EmitEvent(event=event)


def _end(event, context):
    """End the launch with a required node; an exception is launch's only non-zero exit code."""
    if event.returncode == 0:  # asking for a second shutdown would be an error
        return [] if context.is_shutdown else [Shutdown(reason="the flight is over")]

    def fail(_context):
        raise RuntimeError(f"{event.process_name} ended with exit code {event.returncode}")

    return [OpaqueFunction(function=fail)]
