"""A flight as its bag tells it: what the policy saw, answered and caused, each tick. ROS-free.

MCAP files of rosbags have no checksums, so a damaged one may hold any number anywhere: facts and
ticks are checked before they are used.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from snn_controller.errors import UserError, quote
from snn_controller.flight_log.log import TICK_FIELDS, TICK_VERSION, split_rows, stamps_of
from snn_controller.flight_log.reader import BagReader, GarbledMessage, RawMessage, decoder
from snn_controller.vehicle import (
    OBSERVATIONS,
    ActionKind,
    Array,
    ObservationVersion,
    Odometry,
    Reference,
    State,
    odometry_from_message,
)

RECORD_AGAIN = "record the flight again with record:=true"
LARGEST = 1e6  # of a state that anybody flew on, in SI units
LENGTHS = (0.9, 1.1)  # of a quaternion that a guard lets pass
_TEXTS = ("task", "airframe", "policy_sha256", "action_kind")
_STATE = ("position", "velocity", "body_rates", "reference_position", "reference_velocity")
TICK_TOPIC = "snn_controller/tick"
INFO_TOPIC = "snn_controller/flight_info"
ODOMETRY_TYPE = "nav_msgs/msg/Odometry"
Layout = tuple[tuple[str, int], ...]


def check_facts(source: Path, info: Mapping[str, Any]) -> None:
    """Make sure that a flight's facts are of this version and say what is needed.

    Raises:
        UserError: They are not, or do not.
    """
    for name in ("modes", *_TEXTS, "control_rate"):
        if name not in info:
            raise UserError(f"bag {source} does not tell the flight's {name}; {RECORD_AGAIN}")
    _check_versions(source, info)
    sound = {
        **{name: isinstance(info[name], str) for name in _TEXTS},
        "action_kind": info["action_kind"] in get_args(ActionKind),
        "modes": _is_list_of_texts(info["modes"]),
        "control_rate": _is_number(info["control_rate"]) and 0.0 < info["control_rate"] < LARGEST,
        "seed": isinstance(info.get("seed", 0), int),
        "versions": isinstance(info.get("versions", {}), dict),
    }
    for name, is_sound in sound.items():
        if not is_sound:
            raise UserError(
                f"bag {source} tells {quote(info[name])} as the flight's {name}, so it is damaged;"
                f" {RECORD_AGAIN}"
            )


def _check_versions(source: Path, info: Mapping[str, Any]) -> None:
    versions = info.get("versions")
    software = versions.get("snn_controller") if isinstance(versions, dict) else None
    recorder = f"snn_controller {quote(software)}" if software else "the software"
    for name, known in (
        ("observation_version", tuple(OBSERVATIONS)),
        ("tick_version", (TICK_VERSION,)),
    ):
        if info.get(name) not in known:
            what = name.replace("_", " ")
            raise UserError(
                f"bag {source} has {what} {quote(info.get(name))}, and this software reads "
                f"{', '.join(map(str, known))}; use {recorder} that recorded it, or fly and record"
                " again"
            )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(x, str) for x in value)


def sound_rows(columns: Mapping[str, Array], modes: int) -> NDArray[np.bool_]:
    """Return which ticks (ticks,) can have been flown; `modes` is how many there are.

    What a policy flew on has passed the guards; its answer may be anything.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        counts = np.stack([columns[x] for x in ("index", "mode", "stamp_seconds")])
        whole = (counts == np.floor(counts)).all(axis=0) & (counts >= 0.0).all(axis=0)
        nanoseconds = columns["stamp_nanoseconds"]
        within = (
            (columns["mode"] < modes)
            & (columns["index"] < 2.0**53)
            & (columns["stamp_seconds"] < 2.0**33)
            & (nanoseconds >= 0.0)
            & (nanoseconds < 1e9)
            & np.isfinite(columns["time"])
        )
        flown = np.concatenate([columns[name] for name in _STATE], axis=1)
        length = np.linalg.norm(columns["quaternion"], axis=1)
        seen = np.isfinite(flown).all(axis=1) & (length > LENGTHS[0]) & (length < LENGTHS[1])
        within &= ~(np.abs(flown) >= LARGEST).any(axis=1)  # nothing was known: NaN
        within &= (np.abs(columns["command"]) < LARGEST).all(axis=1)
    return whole & within & (seen | (columns["ran"] != 1.0))


def is_sound(state: State) -> bool:
    """Whether a state of the odometry is one that the guards can have let pass."""
    numbers = (*state.position.tolist(), *state.velocity.tolist(), *state.body_rates.tolist())
    low, high = LENGTHS
    return (
        all(-LARGEST < x < LARGEST for x in numbers)
        and low < math.hypot(*state.quaternion.tolist()) < high
    )


@dataclass(frozen=True)
class RecordedFlight:
    """One flight, with one row a tick. SI units, world ENU, body FLU."""

    source: Path
    number: int  # 1 for the first flight of its bag
    info: dict[str, Any]  # see snn_controller.report.summary
    damage: tuple[str, ...]  # sentences; what was before the damage is here
    index: NDArray[np.int64]  # (ticks,) of the tick in the flight; a gap is a lost tick
    stamp: NDArray[np.int64]  # (ticks,) ns, of the odometry
    time: Array  # (ticks,) s since the flight began
    mode: NDArray[np.str_]  # (ticks,) after the tick
    ran: NDArray[np.bool_]  # (ticks,) whether the network ran
    reset: NDArray[np.bool_]  # (ticks,) whether it had resting neurons just before
    stopped: NDArray[np.bool_]  # (ticks,) motors off, or a pilot flew
    state: State  # (ticks, ...) as the policy saw it
    reference: Reference  # (ticks, 3) as the policy saw it
    action: NDArray[np.float32]  # (ticks, 4) as the network gave it, NaN where it did not run
    last_action: NDArray[np.float32]  # (ticks, 4) as the network was told, NaN likewise
    command: Array  # (ticks, 4) throttle, or thrust and rates; zeros where stopped
    columns: dict[str, Array]  # every label of the topic, also those above
    odometry: dict[int, Odometry] = field(default_factory=dict)  # stamp in ns -> sample

    def __len__(self) -> int:
        """Number of ticks."""
        return len(self.index)

    @property
    def observation(self) -> ObservationVersion:
        """The version that the policy was shown."""
        return OBSERVATIONS[self.info["observation_version"]]

    @property
    def observations(self) -> NDArray[np.float32]:
        """What the policy saw (ticks, size), by the only definition of it; NaN without a state."""
        return self.observed_by(self.observation)

    def observed_by(self, version: ObservationVersion) -> NDArray[np.float32]:
        """Return what a version would have shown (ticks, size); NaN without a state."""
        with np.errstate(invalid="ignore", divide="ignore"):
            # one by one, as in flight: a batch may round otherwise
            rows = [
                version.observe(self.state_at(tick), self.reference_at(tick))
                for tick in range(len(self))
            ]
        return np.array(rows, dtype=np.float32).reshape(-1, version.size)

    def state_at(self, tick: int) -> State:
        """What was known of the drone in a tick."""
        state = self.state
        parts = (state.position, state.quaternion, state.velocity, state.body_rates)
        return State(*(part[tick] for part in parts))

    def reference_at(self, tick: int) -> Reference:
        """Where the drone should have been in a tick."""
        return Reference(self.reference.position[tick], self.reference.velocity[tick])

    @property
    def lost_before(self) -> NDArray[np.bool_]:
        """Whether the bag lacks ticks just before each tick (ticks,)."""
        return np.diff(self.index, prepend=-1) != 1


def read_flight(path: str | Path, number: int | None = None) -> RecordedFlight:
    """Read one flight of a bag; of its only one, no number is needed.

    Raises:
        UserError: There is no such flight, or the bag cannot be read.
    """
    flights = {flight.number: flight for flight in read_flights(path)}
    if number is None and len(flights) == 1:
        return next(iter(flights.values()))
    if number not in flights:
        known = ", ".join(map(str, flights))
        what = "several flights" if number is None else f"no flight {number}"
        raise UserError(f"bag {path} holds {what}; choose one of: {known}")
    return flights[number]


def read_flights(path: str | Path) -> list[RecordedFlight]:
    """Read all flights of a bag, in order; at least one.

    Args:
        path: A bag's folder, an .mcap file, or the report folder of a recorded flight.

    Raises:
        UserError: It is no bag, lacks a topic, or comes from another version.
    """
    reader, contents = BagReader(path), _Contents()
    contents.take(reader.messages())
    damage = (*reader.damage, *contents.damage(path))
    if not contents.rows:
        hint = f" before it is damaged ({'; '.join(damage)})" if damage else ""
        raise UserError(f"bag {path} has no topic {TICK_TOPIC}{hint}; {RECORD_AGAIN}")
    return [_flight(reader.path, number, contents, damage) for number in sorted(contents.rows)]


class _Contents:
    """What is of interest in a bag."""

    def __init__(self) -> None:
        self.infos: dict[int, dict[str, Any]] = {}
        self.rows: dict[int, list[Array]] = {}
        self.layouts: dict[int, Layout] = {}  # of the rows of each flight
        self.odometry: dict[int, Odometry] = {}
        self._garbled: list[str] = []  # why a message is left out
        self._vehicles: set[str] = set()

    def take(self, messages: Iterable[RawMessage]) -> None:
        """Take the messages of a bag, without those that are garbled.

        Raises:
            UserError: The bag is of another version, or of several vehicles.
        """
        decode = decoder()
        with np.errstate(over="ignore", invalid="ignore"):  # numbers of garbled messages
            for message in messages:
                try:
                    self._take(message, decode)
                except GarbledMessage as error:
                    self._garbled.append(str(error))
        if len(self._vehicles) > 1:
            raise UserError(
                f"the bag holds flights of several vehicles ({', '.join(sorted(self._vehicles))});"
                " record each into a bag of its own"
            )
        for number in set(self.rows) - set(self.infos) if self.infos else ():
            self._garbled += ["a tick is of no flight"] * len(self.rows.pop(number))
        if self.rows or not self._garbled:
            return
        raise UserError(f"{self._garbled[0]}; {RECORD_AGAIN}")

    def damage(self, path: str | Path) -> tuple[str, ...]:
        """Return a sentence about the messages that were left out, if any were."""
        if not self._garbled:
            return ()
        return (
            f"{path} is damaged: {len(self._garbled)} of its messages are left out"
            f" ({self._garbled[0]})",
        )

    def _take(self, message: RawMessage, decode: Callable[[RawMessage], Any]) -> None:
        if message.topic.endswith(f"/{TICK_TOPIC}"):
            self._vehicles.add(message.topic)
            self._take_tick(decode(message))
        elif message.topic.endswith(f"/{INFO_TOPIC}"):
            self._take_info(decode(message).data)
        elif message.message_type == ODOMETRY_TYPE:
            odometry = odometry_from_message(decode(message))
            if is_sound(odometry.state):
                self.odometry[odometry.stamp] = odometry

    def _take_tick(self, message: Any) -> None:
        layout = tuple((dim.label, int(dim.size)) for dim in message.layout.dim)
        row = np.asarray(message.data, dtype=np.float64)
        known = layout == next(reversed(self.layouts.values()), None)  # nearly always
        missing = set() if known else {x[0] for x in set(TICK_FIELDS) - set(layout)}
        if missing or sum(size for _, size in layout) != row.size:
            raise GarbledMessage(
                f"topic {TICK_TOPIC} lacks {', '.join(sorted(missing)) or 'numbers'}, so another"
                " version wrote it"
            )
        number = _columns(row[None], layout)["flight"][0]
        if not (number >= 1.0 and number == np.floor(number) < np.inf):
            raise GarbledMessage(f"topic {TICK_TOPIC} has a tick of no flight")
        if self.layouts.setdefault(int(number), layout) != layout:
            raise GarbledMessage(f"topic {TICK_TOPIC} changes within a flight")
        self.rows.setdefault(int(number), []).append(row)

    def _take_info(self, text: str) -> None:
        try:
            info = json.loads(text)
            self.infos[int(info["flight"])] = info
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"topic {INFO_TOPIC} holds no facts of a flight; {RECORD_AGAIN}"
            ) from error


def _flight(
    source: Path,
    number: int,
    contents: _Contents,
    damage: tuple[str, ...],
) -> RecordedFlight:
    info = contents.infos.get(number)
    if info is None:
        raise UserError(f"bag {source} has no {INFO_TOPIC} of its flight; {RECORD_AGAIN}")
    check_facts(source, info)
    columns = _columns(np.array(contents.rows[number]), contents.layouts[number])
    sound = sound_rows(columns, len(info["modes"]))
    if not sound.all():
        columns = {label: values[sound] for label, values in columns.items()}
        damage = (*damage, f"{source} is damaged: {(~sound).sum()} ticks hold impossible numbers")
    modes = np.array([str(mode) for mode in info["modes"]])
    return RecordedFlight(
        source=source,
        number=number,
        info=info,
        damage=damage,
        index=columns["index"].astype(np.int64),
        stamp=stamps_of(columns),
        time=columns["time"],
        mode=modes[columns["mode"].astype(np.int64)],
        ran=columns["ran"] != 0.0,
        reset=columns["reset"] != 0.0,
        stopped=columns["stopped"] != 0.0,
        state=State(*(columns[x] for x in ("position", "quaternion", "velocity", "body_rates"))),
        reference=Reference(columns["reference_position"], columns["reference_velocity"]),
        action=_single(columns["action"]),
        last_action=_single(columns["last_action"]),
        command=columns["command"],
        columns=columns,
        odometry=contents.odometry,
    )


def _columns(rows: Array, layout: Layout) -> dict[str, Array]:
    return split_rows(rows, *zip(*layout, strict=True))


def _single(values: Array) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # of garbled ones
        return values.astype(np.float32)
