"""The imported tree of an AWS organization: as text, as JSON, as a Graphviz graph. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

STREAMS = {
    "organizations": "organization",
    "roots": "root",
    "organizational_units": "organizational unit",
    "accounts": "account",
}


class Node(msgspec.Struct, omit_defaults=True):
    """An object of the tree.

    type: see STREAMS; "" if only its children are known.
    state: the state of an account.
    """

    id: str
    type: str = ""
    name: str = ""
    state: str = ""
    children: list[Node] = []

    def label(self) -> str:
        state = "" if self.state in ("", "ACTIVE") else f" {self.state}"
        return f"{self.id} {self.name}".rstrip() + (state if self.type else " (not imported)")


def trees(streams: Mapping[str, Iterable[dict[str, Any]]]) -> list[Node]:
    """One tree for each organization, from the rows of each stream. Objects whose parent was not imported are below a
    node that says so. Children are ordered by type, name and id."""
    nodes: dict[str, Node] = {}
    parents: dict[str, str] = {}
    for stream, kind in STREAMS.items():
        for row in streams.get(stream, ()):
            key = str(row["Id"])
            nodes[key] = Node(key, kind, str(row.get("Name") or ""), str(row.get("state") or ""))
            if row.get("parent_id"):
                parents[key] = str(row["parent_id"])
    for key, parent in parents.items():
        nodes.setdefault(parent, Node(parent)).children.append(nodes[key])
    order = {kind: place for place, kind in enumerate(STREAMS.values())}
    for node in nodes.values():
        node.children.sort(key=lambda each: (order.get(each.type, -1), each.name, each.id))
    return [node for key, node in nodes.items() if key not in parents]


def text(tree: Node) -> Iterator[str]:
    """A line for each object."""
    yield tree.label()
    yield from _branches(tree, "")


def _branches(node: Node, indent: str) -> Iterator[str]:
    for child in node.children:
        last = child is node.children[-1]
        yield f"{indent}{'└── ' if last else '├── '}{child.label()}"
        yield from _branches(child, indent + ("    " if last else "│   "))


def dot(tree: Node) -> Iterator[str]:
    """The lines of a directed graph."""
    yield "digraph organization {"
    yield "  node [shape=box];"
    yield from _edges(tree)
    yield "}"


def _edges(node: Node) -> Iterator[str]:
    yield f"  {_quoted(node.id)} [label={_quoted(node.label())}];"
    for child in node.children:
        yield f"  {_quoted(node.id)} -> {_quoted(child.id)};"
        yield from _edges(child)


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'"{escaped}"'
