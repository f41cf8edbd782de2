"""The red-black tree in which Linux keeps out-of-order segments (`lib/rbtree.c`).

Its shape shows: where segments overlap, one that arrives meets them in the order in which the tree is searched, and joins
the first that it continues.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Node(Generic[T]):
    """`below` are the left and the right subtree."""

    __slots__ = ("below", "item", "parent", "red")

    def __init__(self, item: T, parent: Node[T] | None) -> None:
        self.item = item
        self.parent = parent
        self.red = True
        self.below: list[Node[T] | None] = [None, None]


class Tree(Generic[T]):
    """Items in the order in which they were put: each goes where a search for it ended."""

    def __init__(self) -> None:
        self.root: Node[T] | None = None

    def __iter__(self) -> Iterator[T]:
        path: list[Node[T]] = []
        node = self.root
        while node is not None or path:
            while node is not None:
                path.append(node)
                node = node.below[0]
            node = path.pop()
            yield node.item
            node = node.below[1]

    def clear(self) -> None:
        self.root = None

    def insert(self, item: T, parent: Node[T] | None, side: int) -> None:
        """`rb_link_node`, `rb_insert_color`."""
        node = Node(item, parent)
        if parent is None:
            self.root = node
        else:
            parent.below[side] = node
        while (parent := node.parent) is not None and parent.red:
            grandparent = parent.parent
            assert grandparent is not None
            side = int(grandparent.below[1] is parent)
            uncle = grandparent.below[1 - side]
            if uncle is not None and uncle.red:
                parent.red = uncle.red = False
                grandparent.red = True
                node = grandparent
                continue
            if node is parent.below[1 - side]:
                self._rotate(parent, side)
                node, parent = parent, node
            parent.red, grandparent.red = False, True
            self._rotate(grandparent, 1 - side)
        assert self.root is not None
        self.root.red = False

    def erase(self, item: T) -> None:
        """`rb_erase`."""
        node = self.find(item)
        left, right = node.below
        if left is not None and right is not None:
            following = right
            while following.below[0] is not None:
                following = following.below[0]
            node.item = following.item
            node = following
        child = node.below[0] or node.below[1]
        parent = node.parent
        side = int(parent is not None and parent.below[1] is node)
        self._hang(parent, side, child)
        if child is not None:
            child.red = False
        elif not node.red:
            self._darken(parent, side)

    def replace(self, item: T, by: T) -> None:
        """`rb_replace_node`."""
        self.find(item).item = by

    def find(self, item: T) -> Node[T]:
        """The node that holds it.  Raises KeyError."""
        left: list[Node[T] | None] = [self.root]
        while left:
            node = left.pop()
            if node is not None:
                if node.item is item:
                    return node
                left += node.below
        raise KeyError(item)

    def _hang(self, parent: Node[T] | None, side: int, child: Node[T] | None) -> None:
        if parent is None:
            self.root = child
        else:
            parent.below[side] = child
        if child is not None:
            child.parent = parent

    def _rotate(self, node: Node[T], side: int) -> None:
        """Towards `side`: its other child takes its place."""
        up = node.below[1 - side]
        assert up is not None
        parent = node.parent
        self._hang(parent, int(parent is not None and parent.below[1] is node), up)
        self._hang(node, 1 - side, up.below[side])
        self._hang(up, side, node)

    def _darken(self, parent: Node[T] | None, side: int) -> None:
        """`____rb_erase_color`: the paths through `side` of `parent` lack a black node."""
        while parent is not None:
            sibling = parent.below[1 - side]
            assert sibling is not None
            if sibling.red:
                sibling.red, parent.red = False, True
                self._rotate(parent, side)
                sibling = parent.below[1 - side]
                assert sibling is not None
            near, far = sibling.below[side], sibling.below[1 - side]
            if far is not None and far.red:
                sibling.red, parent.red, far.red = parent.red, False, False
                self._rotate(parent, side)
                return
            if near is not None and near.red:
                near.red, sibling.red = False, True
                self._rotate(sibling, 1 - side)
                continue
            sibling.red = True
            if parent.red:
                parent.red = False
                return
            node, parent = parent, parent.parent
            side = int(parent is not None and parent.below[1] is node)
