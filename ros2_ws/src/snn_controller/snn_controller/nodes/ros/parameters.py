"""Settings dataclasses declared as ROS parameters, with types, ranges and descriptions."""

from __future__ import annotations

from dataclasses import Field, fields
from typing import Any, TypeVar

import rclpy.exceptions
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from snn_controller.errors import UserError, quote

Settings = TypeVar("Settings")
# Parameters that ROS itself understands; anything else must be declared by the node.
_ROS_PARAMETERS = ("use_sim_time", "qos_overrides", "start_type_description_service")


def declare_settings(node: Node, settings_type: type[Settings]) -> Settings:
    """Declare every field of a settings dataclass and return the values in force.

    Raises:
        UserError: A value has the wrong type, is out of range, or an unknown name was given.
    """
    known = {setting.name for setting in fields(settings_type)}  # type: ignore[arg-type]
    _refuse_unknown(node, known)
    values = {s.name: _declare(node, s) for s in fields(settings_type)}  # type: ignore[arg-type]
    return settings_type(**values)


def _declare(node: Node, setting: Field[Any]) -> Any:
    is_list = str(setting.type).startswith("list[")
    default = setting.default_factory() if is_list else setting.default  # type: ignore[misc]
    try:
        value = node.declare_parameter(setting.name, default, _descriptor(setting)).value
    except rclpy.exceptions.InvalidParameterTypeException as error:
        hint = (
            "write a decimal point, as in 20.0" if "float" in str(setting.type) else "mend the YAML"
        )
        raise UserError(
            f"parameter '{setting.name}' must be of type {setting.type}; {hint}"
        ) from error
    except rclpy.exceptions.InvalidParameterValueException as error:
        low, high = setting.metadata["low"], setting.metadata["high"]
        raise UserError(
            f"parameter '{setting.name}' is outside its range {low} to {high}"
        ) from error
    if value is None and not is_list:
        raise UserError(f"parameter '{setting.name}' has no value; give one or leave it out")
    choices = setting.metadata["choices"]
    if choices and value not in choices:
        raise UserError(
            f"parameter '{setting.name}' is '{quote(value)}'; choose one of: {', '.join(choices)}"
        )
    return list(value or ()) if is_list else value


def _descriptor(setting: Field[Any]) -> ParameterDescriptor:
    metadata = setting.metadata
    choices = metadata["choices"]
    descriptor = ParameterDescriptor(
        description=metadata["description"],
        additional_constraints=f"one of: {', '.join(choices)}" if choices else "",
        read_only=True,
    )
    low, high = metadata["low"], metadata["high"]
    if setting.type == "float" and low is not None:
        top = high if high is not None else 1e308
        descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=float(top))]
    elif setting.type == "int" and low is not None:
        top = high if high is not None else 2**62
        descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(top), step=1)]
    return descriptor


def _refuse_unknown(node: Node, known: set[str]) -> None:
    # rclpy has no public list of overrides that were given but never declared.
    given = set(getattr(node, "_parameter_overrides", {}))
    unknown = sorted(name for name in given - known if not name.startswith(_ROS_PARAMETERS))
    if unknown:
        raise UserError(
            f"unknown parameter '{quote(unknown[0])}' for node '{node.get_name()}';"
            f" it has: {', '.join(sorted(known))}"
        )
