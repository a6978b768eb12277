"""Whether the sections of a parameter file name nodes that there are. No ROS.

ROS gives a section to whoever has its name and says nothing of one that nobody has, so limits under
a misspelt node would not be in force. Syntax and values are left to ROS and the nodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from snn_controller.errors import UserError, quote

VALUES = "ros__parameters"  # the key below a node's name
ANY_NAMESPACE, ANY_NAME = "**", "*"


def check_sections(path: Path, nodes: Sequence[str], *, namespaced: bool = False) -> None:
    """Refuse a parameter file with a section that none of some nodes would get.

    Args:
        path: The file. What cannot be read as YAML passes: ROS refuses it and says where.
        nodes: Names of nodes.
        namespaced: The nodes may be in any namespace; otherwise they are in none.

    Raises:
        UserError: There is such a section.
    """
    for section in _sections(path):
        if not any(_fits(section.split("/"), node, namespaced=namespaced) for node in nodes):
            raise UserError(
                f"parameter file {path} has a section '{quote(section)}', but no node gets it;"
                f" name one of: {', '.join(f'/**/{node}' for node in nodes)}, or /** for all"
            )


def _sections(path: Path) -> Iterator[str]:
    """Yield the names of nodes that have values in a file, without the slash in front."""
    try:
        with path.open("rb") as file:
            root = yaml.compose(file, yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, OSError, RecursionError):
        return
    seen: set[int] = set()  # aliases, which ROS refuses, make circles
    waiting = [("", root)]
    while waiting:
        name, mapping = waiting.pop()
        if not isinstance(mapping, yaml.MappingNode) or id(mapping) in seen:
            continue
        seen.add(id(mapping))
        entries = [(key.value, value) for key, value in mapping.value if _is_word(key)]
        if name and any(word == VALUES for word, _ in entries):
            yield name
        waiting += [
            (f"{name}/{word.strip('/')}".strip("/"), value)
            for word, value in reversed(entries)
            if word != VALUES
        ]


def _is_word(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode)


def _fits(words: Sequence[str], node: str, *, namespaced: bool) -> bool:
    *namespace, name = words
    in_place = namespaced or all(word == ANY_NAMESPACE for word in namespace)
    return in_place and name in (node, ANY_NAME, ANY_NAMESPACE)
