"""Checks of training options: what is allowed, said in the sentence that refuses the rest."""

from __future__ import annotations

from snn_controller.errors import UserError

Rules = dict[str, tuple[bool, str]]  # option -> whether it is good, what is allowed


def require(rules: Rules) -> None:
    """Refuse the first option that breaks its rule.

    Raises:
        UserError: One does; the sentence names it and what is allowed.
    """
    for option, (good, allowed) in rules.items():
        if not good:
            raise UserError(f"--{option} is out of range; it must be {allowed}")
