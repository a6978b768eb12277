"""How the flight page looks: the picture's palette, and the same by night.

The page's script resolves `@blue` or `@blue/0.3` in a figure to a colour of the reader's scheme.
"""

from __future__ import annotations

from snn_controller.plot_style import (
    BLUE,
    FAILURE,
    FAINT,
    GREEN,
    INK,
    LAYERS,
    MODE_SHADES,
    ORANGE,
    PURPLE,
    SUCCESS,
)

LIGHT = {
    "page": "#f4f6f8", "surface": "#ffffff", "ink": INK, "grey": "#616e7c", "faint": FAINT,
    "blue": BLUE, "orange": ORANGE, "green": GREEN, "purple": PURPLE, "sky": "#56b4e9",
    "red": "#d55e00", "shadow": "#cbd2d9", "success": SUCCESS, "failure": FAILURE,
    **{f"layer{number}": colour for number, colour in enumerate(LAYERS)},
    **{f"mode-{mode}": colour for mode, colour in MODE_SHADES.items()},
    "mode-policy": "#9cc9e3",
}  # fmt: skip
DARK = {
    "page": "#12171c", "surface": "#1b2229", "ink": "#e4e9ee", "grey": "#98a5b3",
    "faint": "#323c46", "blue": "#4ba3dc", "orange": "#f0b429", "green": "#2fbf93",
    "purple": "#dd9cbd", "sky": "#8fd0f5", "red": "#f08040", "shadow": "#46525e",
    "success": "#3ec79f",
    "failure": "#ff8a5c", "layer0": "#7fb2e8", "layer1": "#3fcfa4", "layer2": "#e0a458",
    "layer3": "#d99ac2", "mode-policy": "#24506b", "mode-disarmed": "#2b343d",
    "mode-checks": "#2b343d", "mode-arming": "#2b343d", "mode-armed": "#2b343d",
    "mode-takeoff": "#22364a", "mode-land": "#22364a", "mode-fallback": "#4a3a15",
    "mode-descent": "#54291c", "mode-killed": "#39414a", "mode-pilot": "#3a3150",
}  # fmt: skip
AXES_COLOURS = ("@blue", "@orange", "@green")
LINES = ("@blue", "@orange", "@green", "@purple", "@red", "@sky", "@grey", "@ink")
LAYER_COLOURS = tuple(f"@layer{number}" for number in range(len(LAYERS)))


def variables() -> str:
    """Return the colours as CSS custom properties for both schemes."""
    light, dark = (
        "".join(f"--{name}:{colour};" for name, colour in scheme.items())
        for scheme in (LIGHT, DARK)
    )
    return f":root{{{light}}}@media (prefers-color-scheme: dark){{:root{{{dark}}}}}"
