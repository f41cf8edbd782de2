"""`out_of_order_queue`: segments ahead of what is expected, in their order, and the tree in which Linux looks for a place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

from .rbtree import Node, Tree
from .segment import RcvSkb
from .seq import before


class OfoQueue(Sequence[RcvSkb]):
    """Reads like a list, lowest first."""

    def __init__(self) -> None:
        self._order: list[RcvSkb] = []
        self._tree: Tree[RcvSkb] = Tree()

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[RcvSkb]:
        return iter(self._order)

    @overload
    def __getitem__(self, index: int) -> RcvSkb: ...
    @overload
    def __getitem__(self, index: slice) -> list[RcvSkb]: ...
    def __getitem__(self, index: int | slice) -> RcvSkb | list[RcvSkb]:
        return self._order[index]

    @property
    def root(self) -> Node[RcvSkb] | None:
        return self._tree.root

    def node(self, skb: RcvSkb) -> Node[RcvSkb]:
        return self._tree.find(skb)

    def insert(self, skb: RcvSkb, parent: Node[RcvSkb] | None, side: int) -> None:
        """Where a search has ended."""
        self._tree.insert(skb, parent, side)
        at = len(self._order)
        while at and before(skb.seq, self._order[at - 1].seq):
            at -= 1
        self._order.insert(at, skb)

    def add(self, skb: RcvSkb) -> None:
        """`tcp_rbtree_insert`: where it belongs by its number."""
        node, parent, side = self._tree.root, None, 0
        while node is not None:
            parent, side = node, 0 if before(skb.seq, node.item.seq) else 1
            node = node.below[side]
        self.insert(skb, parent, side)

    def replace(self, skb: RcvSkb, by: RcvSkb) -> None:
        self._tree.replace(skb, by)
        self._order[self._order.index(skb)] = by

    def remove(self, skb: RcvSkb) -> None:
        self._tree.erase(skb)
        self._order.remove(skb)

    def after(self, skb: RcvSkb) -> RcvSkb | None:
        """`skb_rb_next`."""
        at = self._order.index(skb) + 1
        return self._order[at] if at < len(self._order) else None

    def clear(self) -> None:
        self._order.clear()
        self._tree.clear()
