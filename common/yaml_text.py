"""YAML as a profile needs it, and nothing of what makes YAML dangerous or surprising.

Refused in one sentence: text over a size, nesting over a depth, aliases that unfold into very much or into themselves,
tags, keys that occur twice, numbers with hundreds of digits, control characters. Dates stay text, as do sexagesimal
(`1:30`), octal and hexadecimal numbers: YAML 1.1 would read `010` as 8 and `22:22` as 1342.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from common.errors import InputError, in_words

LARGEST_BYTES = 256 * 1024
DEEPEST = 20
MOST_NODES = 10_000  # after every alias is unfolded
LONGEST_NUMBER = 300
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


class _RefusedError(Exception):
    """Valid YAML that is not taken; the text says why."""


class _Loader(yaml.SafeLoader):
    """Safe, bounded, with the JSON-like half of YAML 1.1's scalars."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  (as in the class above)

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = self.nodes = 0

    def fetch_flow_collection_start(self, token_class: Any) -> None:
        super().fetch_flow_collection_start(token_class)
        if self.flow_level > DEEPEST:  # at once: the scanner looks a thousand brackets ahead, in square time
            raise _RefusedError(f"line {self.line + 1}: {_too_much(DEEPEST + 1)}")

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        event = self.peek_event()
        if getattr(event, "tag", None) is not None:
            raise _RefusedError(f"line {event.start_mark.line + 1}: tags are not taken ({event.tag})")
        self.depth += 1
        self.nodes += 1
        if self.depth > DEEPEST or self.nodes > MOST_NODES:
            raise _RefusedError(f"line {event.start_mark.line + 1}: {_too_much(self.depth)}")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


for _name in ("null", "bool", "merge"):
    for _first, _resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items():
        for _tag, _pattern in _resolvers:
            if _tag == f"tag:yaml.org,2002:{_name}":
                _Loader.yaml_implicit_resolvers.setdefault(_first, []).append((_tag, _pattern))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?(0|[1-9][0-9_]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"([-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$"
    ),
    list("-+0123456789."),
)


def read_yaml(path: Path) -> Any:
    """The value of a YAML file.

    Raises:
        InputError: the file cannot be read, or what `parse_yaml` raises.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise InputError(in_words(error) or f"{path}: {error}") from None
    try:
        return parse_yaml(content.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not valid YAML: not UTF-8 ({error.reason} at byte {error.start})") from None


def parse_yaml(text: str, name: str) -> Any:
    """The value of a YAML text.

    Args:
        name: what the text is called in a message: a file, or an option with its key.

    Raises:
        InputError: not YAML, or YAML that is not taken; in one line.
    """
    if len(text.encode("utf-8", "replace")) > LARGEST_BYTES:
        raise InputError(f"{name}: longer than {LARGEST_BYTES // 1024} KiB, which no profile is")
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check(node)
        return loader.construct_document(node)
    except (_RefusedError, yaml.YAMLError) as error:
        raise InputError(f"{name}: not valid YAML: {_reason(error)}") from None
    finally:
        if loader is not None:
            loader.dispose()


def _reason(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}: {error.problem}"
    return str(error)


def _check(root: Node) -> None:
    """Raises _RefusedError for what a node may not hold. An alias is its anchor's node again, and counts again."""
    sizes: dict[int, int] = {}
    depths: dict[int, int] = {}
    open_nodes: set[int] = set()

    def visit(node: Node) -> None:
        where = f"line {node.start_mark.line + 1}"
        if id(node) in sizes:
            return
        if id(node) in open_nodes:
            raise _RefusedError(f"{where}: an anchor that holds itself")
        if isinstance(node, ScalarNode):
            _check_scalar(node, where)
        open_nodes.add(id(node))
        children = _children(node)
        if isinstance(node, MappingNode):
            _check_keys(node)
        for child in children:
            visit(child)
        sizes[id(node)] = 1 + sum(sizes[id(child)] for child in children)
        depths[id(node)] = 1 + max((depths[id(child)] for child in children), default=0)
        if sizes[id(node)] > MOST_NODES or depths[id(node)] > DEEPEST:
            raise _RefusedError(f"{where}: {_too_much(depths[id(node)])}")
        open_nodes.discard(id(node))

    visit(root)


def _too_much(depth: int) -> str:
    return f"nested more than {DEEPEST} deep" if depth > DEEPEST else f"more than {MOST_NODES} values, aliases unfolded"


def _children(node: Node) -> list[Node]:
    if isinstance(node, MappingNode):
        return [child for pair in node.value for child in pair]
    return list(node.value) if isinstance(node, SequenceNode) else []


def _check_scalar(node: ScalarNode, where: str) -> None:
    if node.tag.endswith((":int", ":float")) and len(node.value) > LONGEST_NUMBER:
        raise _RefusedError(f"{where}: a number of {len(node.value)} digits")
    if found := _CONTROL.search(node.value):
        raise _RefusedError(f"{where}: a control character (U+{ord(found[0]):04X}) in a text")


def _check_keys(node: MappingNode) -> None:
    seen: set[Hashable] = set()
    for key, _ in node.value:
        if not isinstance(key, ScalarNode):
            raise _RefusedError(f"line {key.start_mark.line + 1}: a key that is no text")
        if key.value in seen:
            raise _RefusedError(f"line {key.start_mark.line + 1}: the key {key.value} occurs twice")
        seen.add(key.value)
