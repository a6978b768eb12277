"""A Crazyflie's log times on this machine's clock, in ns: no packet tells how the clocks differ."""

from __future__ import annotations


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
