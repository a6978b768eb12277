"""Command line of the training scripts: dataclass arguments, one-sentence errors, clean Ctrl-C."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

from snn_controller.errors import UserError

Arguments = TypeVar("Arguments")


def run_command(main: Callable[[Arguments], None], arguments: type[Arguments]) -> None:
    """Parse the command line into the dataclass and run; exit 2 on bad input, 130 on Ctrl-C."""
    import tyro

    try:
        main(tyro.cli(arguments, description=arguments.__doc__))
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        sys.exit(130)
