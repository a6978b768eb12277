"""What a flight leaves: the log of its ticks, the file it is kept in, bags written and read."""

from snn_controller.flight_log.log import (
    MODES,
    SPIKE_RATE,
    TICK_VERSION,
    Decision,
    FlightColumns,
    FlightLog,
    Tick,
    columns,
    split_rows,
    stamps_of,
    tick_fields,
    tick_row,
)
from snn_controller.flight_log.recorded_flight import RecordedFlight, read_flight, read_flights
from snn_controller.flight_log.store import (
    REPORT_FILE,
    REPORT_VERSION,
    TICKS_FILE,
    FlightRecord,
    pack_ticks,
    read_record,
    record_of,
)
from snn_controller.flight_log.writer import (
    DEFAULT_DISTRIBUTION,
    TRANSFORMS_TYPE,
    Bag,
    message_definition,
    transform_bytes,
)

__all__ = [
    "DEFAULT_DISTRIBUTION",
    "MODES",
    "REPORT_FILE",
    "REPORT_VERSION",
    "SPIKE_RATE",
    "TICKS_FILE",
    "TICK_VERSION",
    "TRANSFORMS_TYPE",
    "Bag",
    "Decision",
    "FlightColumns",
    "FlightLog",
    "FlightRecord",
    "RecordedFlight",
    "Tick",
    "columns",
    "message_definition",
    "pack_ticks",
    "read_flight",
    "read_flights",
    "read_record",
    "record_of",
    "split_rows",
    "stamps_of",
    "tick_fields",
    "tick_row",
    "transform_bytes",
]
