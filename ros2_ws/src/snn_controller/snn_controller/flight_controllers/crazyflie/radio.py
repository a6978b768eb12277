"""A connected Crazyflie whose caller never waits: one thread of its own makes all calls to cflib.

cflib blocks for up to 2 s where a radio is slow, and can hang where a link breaks. Callers leave
the newest setpoint, the newest pose and jobs here, and read what cflib's threads have heard.
"""

from __future__ import annotations

import atexit
import threading
from collections import deque
from collections.abc import Callable, Iterable
from time import perf_counter, perf_counter_ns, sleep
from typing import Any, NamedTuple

from cflib.crazyflie import Crazyflie
from cflib.crazyflie.log import LogConfig

from snn_controller.errors import UserError
from snn_controller.flight_controllers.crazyflie.connection import CLOSING_TIME, close, connect
from snn_controller.flight_controllers.crazyflie.messages import (
    STATE_VARIABLES,
    STATUS_TYPES,
    STATUS_VARIABLES,
    STOP,
    Setpoint,
    Supervisor,
)
from snn_controller.system import claim_endpoint
from snn_controller.vehicle import Array


class CrazyflieClock:
    """Puts the vehicle's times of 24 bits in ms onto this machine's clock.

    A packet takes a varying time; the fastest one of the last second or two tells how the clocks
    differ. So samples that were taken evenly get even stamps however unevenly they arrive, and a
    sample that was held up on its way shows its age.
    """

    _WRAP = 1 << 24
    _WINDOW = 1_000_000_000  # ns
    _LEAP = 1_000_000_000  # ns by which a time may be off before it is taken for damaged
    _PATIENCE = 3  # such times in a row that are believed after all: the vehicle was restarted

    def __init__(self) -> None:
        """Know nothing yet."""
        self._time: int | None = None  # ns, unwrapped, of the vehicle
        self._arrival = 0  # ns
        self._leaps = 0  # in a row
        self._begun = 0  # ns, when this window began
        self._lowest = 0  # ns in this window, this machine's clock minus the vehicle's
        self._before = 0  # ns, the same of the window before
        self._stamp = 0  # ns, the last one given

    def stamp(self, milliseconds: int, arrival: int) -> int | None:
        """Return when a sample was taken, on the clock of `arrival` (ns), None for a useless one.

        Args:
            milliseconds: The vehicle's time stamp.
            arrival: When the packet came.
        """
        if self._time is None:
            return self._start(milliseconds, arrival)
        half = self._WRAP // 2
        step = (milliseconds - self._time // 1_000_000 + half) % self._WRAP - half
        if abs(step * 1_000_000 - (arrival - self._arrival)) > self._LEAP:
            self._leaps += 1
            return None if self._leaps < self._PATIENCE else self._start(milliseconds, arrival)
        if step <= 0:
            return None  # sent twice, or overtaken by a newer one
        self._leaps, self._arrival = 0, arrival
        self._time += step * 1_000_000
        difference = arrival - self._time
        if self._time - self._begun > self._WINDOW:
            self._begun, self._before, self._lowest = self._time, self._lowest, difference
        self._lowest = min(self._lowest, difference)
        fastest = min(self._lowest, self._before)
        self._stamp = max(self._time + fastest, self._stamp + 1)
        return self._stamp

    def _start(self, milliseconds: int, arrival: int) -> int:
        self._time = self._begun = milliseconds * 1_000_000
        self._lowest = self._before = arrival - self._time
        self._leaps, self._arrival = 0, arrival
        self._stamp = max(arrival, self._stamp + 1)
        return self._stamp


STATE_PERIOD = 10  # ms
STATUS_PERIOD = 20  # ms
SILENCE_TIME = 1.0  # s without a packet after which nothing is known of the vehicle
STALE = 200_000_000  # ns after which a status is not believed
SLACK = 0.05  # s after which an idle worker looks around; also the period of stop setpoints at rest
REST_TIME = 3.0  # s; firmware counts as flying until 2 s after the last thrust
FAREWELL_TIME = 1.0  # s for the parameters to be given back
LEAVING_TIME = REST_TIME + FAREWELL_TIME + CLOSING_TIME + SLACK  # s, at most
_LEAVING: dict[str, threading.Thread] = {}  # workers by endpoint that are closing their link

Job = Callable[[Crazyflie], None]


class Sample(NamedTuple):
    """One log packet."""

    arrival: int  # ns of `perf_counter_ns`
    time: int  # ms of the vehicle, 24 bits
    values: tuple[float, ...]


class CrazyflieRadio:
    """What is sent to one Crazyflie, and what was heard of it."""

    def __init__(self, endpoint: str, parameters: Iterable[str]) -> None:
        """Connect and start the log blocks; blocks until connected.

        Args:
            endpoint: Address of the vehicle, as cflib has it.
            parameters: Names of those that will be needed.

        Raises:
            UserError: The endpoint, the radio, the vehicle or its firmware is not fit.
        """
        self.endpoint = endpoint
        self.heard = perf_counter()  # s, the last packet
        self.lost = ""  # why the link is lost, "" while it is not
        self.state: Sample | None = None  # newest of STATE_VARIABLES
        self.status: Sample | None = None  # newest of STATUS_VARIABLES
        self._echoed = threading.Event()
        self._wake = threading.Condition()
        self._setpoint: Setpoint | None = None
        self._pose: tuple[Array, Array] | None = None
        self._jobs: deque[Job] = deque()
        self._rest_until = 0.0  # s; stop setpoints go on until then, for as long as it flies
        self._open = True
        self._farewell: dict[str, str] = {}
        if (leaving := _LEAVING.pop(endpoint, None)) is not None:
            leaving.join(LEAVING_TIME)
        self._claim = claim_endpoint(endpoint)
        try:
            self.client = connect(endpoint, (*STATE_VARIABLES, *STATUS_VARIABLES), parameters)
        except UserError:
            self._claim.close()
            raise
        self._listen()
        self._worker = threading.Thread(target=self._work, name="crazyflie", daemon=True)
        self._worker.start()
        atexit.register(self._leave)

    def send(self, setpoint: Setpoint) -> None:
        """Send a setpoint soon, instead of any that has not gone out yet."""
        with self._wake:
            self._setpoint, self._rest_until = setpoint, 0.0
            self._wake.notify()

    def send_pose(self, position: Array, quaternion: Array) -> None:
        """Send a measured position (3,) in m and attitude (4,) xyzw soon; the newest counts."""
        with self._wake:
            self._pose = position, quaternion
            self._wake.notify()

    def do(self, job: Job) -> None:
        """Have a job done soon, after the newest setpoint."""
        with self._wake:
            self._jobs.append(job)
            self._wake.notify()

    def rest(self) -> None:
        """Send stop setpoints until the firmware knows that it has landed, then hand over.

        Firmware that counts as flying and hears nothing for 2 s locks itself until a restart.
        """
        with self._wake:
            self._setpoint, self._rest_until = STOP, perf_counter() + REST_TIME
            self._wake.notify()

    @property
    def flying(self) -> bool:
        """Whether the firmware says that it flies, or has not been heard for a while."""
        if self.status is None or perf_counter_ns() - self.status.arrival > STALE:
            return True
        return bool(int(self.status.values[0]) & Supervisor.FLYING)

    @property
    def silent(self) -> bool:
        """Whether nothing has been heard of the vehicle for a while."""
        return perf_counter() - self.heard > SILENCE_TIME

    def parameter(self, name: str) -> str | None:
        """Return the value of a parameter as last heard."""
        group, _, variable = name.partition(".")
        return self.client.param.values.get(group, {}).get(variable)

    def set_parameters(self, values: dict[str, str]) -> None:
        """Begin to set parameters; `parameter` tells when the vehicle has taken them."""

        def write(cf: Crazyflie) -> None:
            for name, value in values.items():
                cf.param.set_value(name, value)

        self.do(write)

    def echo(self, patience: float) -> bool:
        """Say whether the vehicle answers what was sent before, within some s. Blocks."""
        self._echoed.clear()
        self.do(lambda cf: cf.link_statistics.latency.ping())
        return self._echoed.wait(patience)

    def release(self, farewell: dict[str, str]) -> None:
        """Begin to set parameters a last time and to close the link."""
        with self._wake:
            self._open, self._farewell = False, farewell
            self._wake.notify()
        _LEAVING[self.endpoint] = self._worker

    def join(self, patience: float = LEAVING_TIME) -> bool:
        """Wait for a released link to be closed, and say whether it is."""
        self._worker.join(patience)
        return not self._worker.is_alive()

    def _leave(self) -> None:
        """At the end of the process: the vehicle gets its parameters back first."""
        with self._wake:
            self._open = False
            self._wake.notify()
        self.join()

    def _listen(self) -> None:
        cf = self.client
        cf.packet_received.add_callback(self._on_packet)
        cf.connection_lost.add_callback(self._on_lost)
        cf.link_statistics.latency_updated.add_callback(lambda latency: self._echoed.set())
        state = LogConfig("state", STATE_PERIOD)
        for name in STATE_VARIABLES:
            state.add_variable(name, "FP16")
        state.data_received_cb.add_callback(self._on_state)
        status = LogConfig("status", STATUS_PERIOD)
        for name, kind in zip(STATUS_VARIABLES, STATUS_TYPES, strict=True):
            status.add_variable(name, kind)
        status.data_received_cb.add_callback(self._on_status)
        for block in (state, status):
            cf.log.add_config(block)
            block.start()

    # called by cflib's threads

    def _on_packet(self, packet: Any) -> None:
        self.heard = perf_counter()

    def _on_lost(self, uri: str, message: str) -> None:
        self.lost = message.splitlines()[0] if message else "the link broke"

    def _on_state(self, time: int, data: dict[str, float], block: Any) -> None:
        values = tuple(data[name] for name in STATE_VARIABLES)
        self.state = Sample(perf_counter_ns(), time, values)

    def _on_status(self, time: int, data: dict[str, float], block: Any) -> None:
        values = tuple(data[name] for name in STATUS_VARIABLES)
        self.status = Sample(perf_counter_ns(), time, values)

    # the worker

    def _work(self) -> None:
        while self._open or self._rest_until > 0.0 or self._jobs:
            setpoint, pose, job = self._next()
            if self.lost or (not self._open and self.silent):
                self._rest_until = 0.0
                continue
            try:
                self._send(setpoint, pose, job)
            except Exception as error:  # cflib fails in any way where the link has just broken
                self.lost = f"cflib: {error!r}"
        self._say_goodbye()

    def _next(self) -> tuple[Setpoint | None, tuple[Array, Array] | None, Job | None]:
        with self._wake:
            if not (self._setpoint or self._pose or self._jobs):
                self._wake.wait(SLACK if self._open or self._rest_until > 0.0 else 0.0)
            setpoint, self._setpoint = self._setpoint, None
            pose, self._pose = self._pose, None
            return setpoint, pose, self._jobs.popleft() if self._jobs else None

    def _send(
        self, setpoint: Setpoint | None, pose: tuple[Array, Array] | None, job: Job | None
    ) -> None:
        cf = self.client
        if setpoint is None and self._rest_until > 0.0:
            if self.flying and perf_counter() < self._rest_until:
                setpoint = STOP
            else:
                self._rest_until = 0.0
                cf.commander.send_notify_setpoint_stop()
        if setpoint is not None:
            cf.commander.send_setpoint(setpoint.roll, setpoint.pitch, setpoint.yaw, setpoint.thrust)
        if pose is not None:
            cf.loc.send_extpose(pose[0].tolist(), pose[1].tolist())
        if job is not None:
            job(cf)

    def _say_goodbye(self) -> None:
        if not self.lost and not self.silent:
            for name, value in self._farewell.items():
                if self.parameter(name) != value:
                    self.client.param.set_value(name, value)
            deadline = perf_counter() + FAREWELL_TIME
            while perf_counter() < deadline and not self._taken(self._farewell):
                sleep(0.01)
        close(self.client)
        self._claim.close()

    def _taken(self, values: dict[str, str]) -> bool:
        return all(self.parameter(name) == value for name, value in values.items())
