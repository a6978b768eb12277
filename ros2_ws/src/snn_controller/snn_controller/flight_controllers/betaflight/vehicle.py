"""How a Betaflight vehicle is set up, read at the start: fit for thrust and rates, or why not.

Nothing is written to the vehicle: its settings are its owner's.
"""

from __future__ import annotations

from dataclasses import dataclass

from snn_controller.errors import UserError
from snn_controller.flight_controllers.betaflight import msp_messages as msp
from snn_controller.flight_controllers.betaflight.msp import MspClient
from snn_controller.flight_controllers.betaflight.rc_channels import (
    HIGH,
    LOW,
    RcChannels,
    check_rates,
    rate_tables,
)
from snn_controller.flight_controllers.registry import LinkOptions

OLDEST_API = (1, 44)  # Betaflight 4.3
FEATURE_RX_MSP = 1 << 14
FEATURE_3D = 1 << 12
ARM_MODE = 0
STICKS = 4  # channels before AUX1
CHANNELS = 16
HOLD = 1  # of what a channel does without commands


@dataclass(frozen=True)
class BetaflightVehicle:
    """One vehicle as it is set up."""

    description: str
    rc: RcChannels
    channel_map: tuple[int, ...]  # place in a frame of roll, pitch, yaw, throttle
    quiet: tuple[int, ...]  # (CHANNELS,) us, a frame that switches nothing on
    arm_channel: int  # place in a frame
    arm_pulse: int  # us that arms
    modes: tuple[int, ...]  # permanent number of each bit of the status


def read_vehicle(client: MspClient, options: LinkOptions) -> BetaflightVehicle:
    """Ask a vehicle for its settings.

    Raises:
        UserError: It is no Betaflight, too old, or not set up for thrust and rates over MSP.
    """
    description = _check_firmware(client)
    _check_receiver(client)
    ranges = msp.parse_mode_ranges(client.ask(msp.MODE_RANGES))
    channel, pulse = _arm_switch(ranges)
    channel_map = tuple(client.ask(msp.RX_MAP)[:STICKS])
    if sorted(channel_map) != list(range(STICKS)):
        raise UserError(
            f"the vehicle's channel map {channel_map} has sticks outside the first four channels;"
            " choose AETR1234 in the Configurator's Receiver tab"
        )
    return BetaflightVehicle(
        description=description,
        rc=_read_rc_channels(client, options),
        channel_map=channel_map,
        quiet=_quiet_frame(ranges),
        arm_channel=channel,
        arm_pulse=pulse,
        modes=tuple(client.ask(msp.BOX_IDS)),
    )


def _check_firmware(client: MspClient) -> str:
    variant = client.ask(msp.VARIANT)[:4].decode("ascii", "replace")
    if variant != "BTFL":
        raise UserError(
            f"the flight controller at {client.endpoint} runs '{variant}', not Betaflight (BTFL);"
            " choose the link that fits it"
        )
    api = tuple(client.ask(msp.API_VERSION)[1:3])
    version = ".".join(str(part) for part in client.ask(msp.VERSION)[:3])
    if api < OLDEST_API:
        raise UserError(
            f"Betaflight {version} (MSP {'.'.join(map(str, api))}) is too old; update it to 4.3 or"
            " newer"
        )
    return f"Betaflight {version} at {client.endpoint}"


def _check_receiver(client: MspClient) -> None:
    """Refuse settings under which our commands are not obeyed, or outlive us."""
    features = int.from_bytes(client.ask(msp.FEATURES)[:4], "little")
    if not features & FEATURE_RX_MSP:
        raise UserError(
            "the vehicle does not take its commands over MSP; choose 'MSP' as receiver mode in the"
            " Configurator's Receiver tab"
        )
    if features & FEATURE_3D:
        raise UserError("the vehicle is in 3D mode (reversible motors); switch the feature 3D off")
    throttle = msp.parse_rx_fail(client.ask(msp.RX_FAIL_CONFIG))[3:4]
    if throttle and throttle[0][0] == HOLD:
        raise UserError(
            "the vehicle holds its throttle when commands stop coming; set the throttle's stage 1"
            " to Auto in the Configurator's Failsafe tab"
        )


def _read_rc_channels(client: MspClient, options: LinkOptions) -> RcChannels:
    profile = msp.parse_rates(client.ask(msp.RC_TUNING))
    receiver = msp.parse_receiver(client.ask(msp.RX_CONFIG))
    tilt_band, yaw_band = msp.parse_deadbands(client.ask(msp.RC_DEADBAND))
    if not profile.throttle_is_linear or profile.throttle_is_limited:
        raise UserError(
            "the vehicle bends or limits its throttle; set throttle expo to 0, its hover point to"
            " its middle and the limit to Off in the Configurator's Rates tab"
        )
    if receiver.camera_angle:
        raise UserError(
            f"the vehicle turns its commands by a camera angle of {receiver.camera_angle} degrees;"
            " set fpv_cam_degrees to 0"
        )
    tables = rate_tables(profile, (tilt_band, tilt_band, yaw_band))
    check_rates(tables)
    return RcChannels(tables, receiver, options.hover_thrust, options.thrust_curve)


def _arm_switch(ranges: tuple[msp.ModeRange, ...]) -> tuple[int, int]:
    """Return the place in a frame and the us of the switch that arms."""
    for item in ranges:
        if item.mode == ARM_MODE:
            low, high = max(item.low, LOW), min(item.high, HIGH)
            if low < high and STICKS + item.channel < CHANNELS:
                return STICKS + item.channel, (low + high) // 2
    raise UserError(
        "the vehicle has no switch that arms it; give ARM a range on AUX1, as 1700 to 2100, in the"
        " Configurator's Modes tab"
    )


def _quiet_frame(ranges: tuple[msp.ModeRange, ...]) -> tuple[int, ...]:
    """Return pulse widths (CHANNELS,) in us with which no range switches a mode on."""
    frame = [LOW] * CHANNELS
    for channel in range(STICKS, CHANNELS):
        mine = [item for item in ranges if item.channel == channel - STICKS]
        free = [
            pulse
            for pulse in range(LOW, HIGH + 1, 25)
            if not any(item.low <= pulse <= item.high for item in mine)
        ]
        if not free:
            raise UserError(
                f"the modes on AUX{channel - STICKS + 1} leave no position in which all are off;"
                " narrow their ranges in the Configurator's Modes tab"
            )
        frame[channel] = free[0]
    return tuple(frame)
