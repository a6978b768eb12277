"""The control loop of a flight, without ROS: odometry, silence, link, operator, end of flight.

The only one there is. The controller node runs it on the wall clock or a simulator's, fault
campaigns and tests on a manual clock. It decides nothing: `Flight` does, and the loop carries out
on the link what the state machine has come to. Silence is never a command.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter_ns, time_ns
from typing import Any

from snn_controller.flight.flight import Flight
from snn_controller.safety import GROUND_MODES, Event, Mode, Verdict
from snn_controller.vehicle import Array, FlightController, Odometry

DISARM_TIME = 5.0  # s that a vehicle has to disarm after its flight
SIMULATOR_PATIENCE = 10.0  # s of steady time without odometry before a simulator is given up


@dataclass(frozen=True)
class Clocks:
    """How a loop tells the time; given explicitly, so that a manual clock makes it repeatable."""

    now: Callable[[], int] = time_ns  # ns, of the clock that stamps odometry
    steady: Callable[[], int] = perf_counter_ns  # ns, which never goes back
    simulated: bool = False  # `now` is a simulator's: it may stand still, or come late


def _ignore(flight: Flight) -> None:
    pass


class ControlLoop:
    """Runs one flight on one link, from its beginning to its end.

    `answer` takes odometry that comes by itself, `watch` must be called at least every 20 ms: it
    polls the link, takes the odometry that the link tells, and notices silence.
    """

    def __init__(
        self,
        flight: Flight,
        link: FlightController,
        clocks: Clocks | None = None,
        *,
        startup_timeout: float = math.inf,
        source: str = "the link",
        tell: Callable[[Flight], Any] = _ignore,
        announce: Callable[[Flight], Any] = _ignore,
        finish: Callable[[], Any] = lambda: None,
    ) -> None:
        """Begin to run a flight that has just begun, on a link that nobody has armed.

        Args:
            flight: Decides.
            link: Gets its commands.
            clocks: What the time is; the machine's clocks for None.
            startup_timeout: Wait in s for the first odometry of a flight that arms by itself.
            source: Where odometry comes from, for the sentence that says that none does.
            tell: Called after each tick, once its command is out.
            announce: Called when the flight may have changed without a tick.
            finish: Called when the flight is over, until `close`.
        """
        self.flight = flight
        self.link = link
        self.specific_force: Array | None = None  # (3,) m/s^2, body, of an accelerometer's topic
        self.answered = -1  # ns, stamp of the newest odometry answered
        self.closed = False
        self._clocks = clocks or Clocks()
        self._startup_timeout = startup_timeout
        self._source = source
        self._tell, self._announce, self._finish = tell, announce, finish
        self._timeout = round(flight.limits.odometry_timeout * 1e9)  # ns
        self._arrival = self._clocks.steady()  # ns, when it came
        self._last_tick: int | None = None  # ns, steady
        self._ticks = flight.log.count
        self._odometry: Odometry | None = None  # told by the link and not answered yet
        self._mode = Mode.DISARMED  # that the link has been told of
        self._flown = False  # it left the states in which nobody has asked it to arm
        self._over_since: int | None = None  # ns, steady

    def answer(self, odometry: Odometry, arrival: int | None = None) -> None:
        """Answer one sample of odometry with a command.

        Args:
            odometry: The sample. One that is older than what has been answered is dropped; the
                same one again, because our answer was lost, gets the command in force.
            arrival: Steady time in ns at which it came; now for None.
        """
        flight, stamp = self.flight, odometry.stamp
        if self.closed or stamp < self.answered:
            return
        if stamp == self.answered:
            self._send(stamp)
            return
        if flight.mode in GROUND_MODES and self.specific_force is not None:
            odometry = replace(odometry, specific_force=self.specific_force)
        self._arrival = arrival = self._clocks.steady() if arrival is None else arrival
        now = self._time_at(stamp)
        if stamp <= now + self._timeout:  # a stamp far ahead must not outdate what follows
            self.answered = stamp
        flight.tick(odometry, now)
        self._send(stamp)
        latency = (self._clocks.steady() - arrival) * 1e-9
        if flight.log.count > self._ticks:  # not for samples between two ticks
            self._ticks = flight.log.count
            self._after_tick(arrival, latency)

    def watch(self) -> None:
        """Poll the link; answer what it tells; notice that odometry never came, or stopped."""
        if self.closed:
            return
        self.poll()
        odometry, self._odometry = self._odometry, None
        if odometry is not None:
            self.answer(odometry)
        self._finish_if_over()
        if not self.closed:
            self._notice_silence()

    def poll(self) -> None:
        """Let the flight know what the vehicle says."""
        status = self.link.poll(self._clocks.now())
        self.flight.status = status
        self._odometry = status.odometry or self._odometry

    def ask(self, event: Event) -> str | None:
        """Do what the operator asks for, or return the sentence that refuses it."""
        stamp = max(self.answered, 0)
        reason = self.flight.request(event, self._time_at(stamp))
        self._send(stamp)
        self._announce(self.flight)
        self._finish_if_over()
        return reason

    def stop(self, reason: str) -> None:
        """End the flight from outside: in the air a pilot gets the drone, else its motors stop."""
        if not self.closed:
            self.flight.stop(Verdict("ended", reason))
            self._send(max(self.answered, 0))

    @property
    def seconds_without_odometry(self) -> float:
        """Steady time in s since the newest odometry that was answered, or since the beginning."""
        return (self._clocks.steady() - self._arrival) * 1e-9

    @property
    def is_over(self) -> bool:
        """Whether the flight is done, and a vehicle that it armed is disarmed or had time to.

        Firmware takes a second or two to believe that it has landed before it disarms.
        """
        flight = self.flight
        if not flight.done:
            return False
        asked = self._flown and flight.mode in (Mode.DISARMED, Mode.KILLED)
        if not asked or not flight.status.armed:
            return True
        now = self._clocks.steady()
        self._over_since = now if self._over_since is None else self._over_since
        return (now - self._over_since) * 1e-9 > DISARM_TIME

    def close(self) -> None:
        """Stop the motors at the end of a flight, unless a pilot flies; nothing follows."""
        if not self.closed:
            self.closed = True
            if self._mode is not Mode.PILOT:
                self.link.close()

    def _time_at(self, stamp: int) -> int:
        """Return the time in ns at which odometry with this stamp has come."""
        now = self._clocks.now()
        # A simulator's clock may come after the odometry that it belongs to, or not yet at all.
        patience = SIMULATOR_PATIENCE * 1e9
        late = self._clocks.simulated and (now == 0 or stamp - now < patience)
        return max(now, stamp) if late else now

    def _send(self, stamp: int) -> None:
        """Ask of the vehicle what a new state needs, and send the command in force, if any."""
        mode, link = self.flight.mode, self.link
        if mode is not self._mode:
            self._mode = mode
            self._flown |= mode not in (Mode.DISARMED, Mode.CHECKS)
            if mode is Mode.ARMING:
                link.arm()
            elif mode is Mode.DISARMED:
                link.disarm()
            elif mode is Mode.KILLED:
                link.kill()
            elif mode is Mode.PILOT:
                link.hand_back()
        command = self.flight.command
        if command is not None:
            link.send(command, stamp)

    def _after_tick(self, arrival: int, latency: float) -> None:
        """Do what may take time: the command is out."""
        self.poll()
        period = None if self._last_tick is None else (arrival - self._last_tick) * 1e-9
        self.flight.log.append_timing(period=period, latency=latency)
        self._last_tick = arrival
        self._tell(self.flight)
        self._finish_if_over()

    def _notice_silence(self) -> None:
        seconds = self.seconds_without_odometry
        if self.answered < 0:
            self._await_odometry(seconds)
            return
        if self._clocks.simulated and seconds < SIMULATOR_PATIENCE:
            # A simulator may stall, and its time with it: only its own clock can say that odometry
            # is missing. A clock that stands still for long is a simulator that is gone.
            seconds = (self._clocks.now() - self.answered) * 1e-9
        if seconds > self.flight.limits.odometry_timeout:
            now = max(self._clocks.now(), self.answered + round(seconds * 1e9))
            self.flight.silence(seconds, now)
            self._send(now)
            self._announce(self.flight)
            self._finish_if_over()

    def _await_odometry(self, seconds: float) -> None:
        if seconds > self._startup_timeout and self.flight.plan.auto_start:
            reason = (
                f"no odometry on {self._source} for {seconds:.0f} s; is the simulator or the"
                " estimator running, and is its topic remapped to this one?"
            )
            self.flight.stop(Verdict("silence", reason))
            self._finish()

    def _finish_if_over(self) -> None:
        if not self.closed and self.is_over:
            self._finish()
