"""The shape of `lib/rbtree.c`'s trees."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stack_under_test.reference.tcp.rbtree import Node, Tree


class Number:
    def __init__(self, value: int) -> None:
        self.value = value


def put(tree: Tree[Number], item: Number) -> None:
    node, parent, side = tree.root, None, 0
    while node is not None:
        parent, side = node, int(item.value >= node.item.value)
        node = node.below[side]
    tree.insert(item, parent, side)


def blacks(node: Node[Number] | None) -> int:
    """Black nodes on every path down; fails where two paths differ or a red node has a red child."""
    if node is None:
        return 1
    for child in node.below:
        assert child is None or child.parent is node
        assert child is None or not (node.red and child.red)
    left, right = (blacks(child) for child in node.below)
    assert left == right
    return left + (not node.red)


@given(st.lists(st.integers(0, 40), max_size=40), st.data())
def test_it_stays_ordered_and_balanced(values: list[int], data: st.DataObject) -> None:
    tree: Tree[Number] = Tree()
    there: list[Number] = []
    for value in values:
        there.append(Number(value))
        put(tree, there[-1])
        if len(there) > 2 and data.draw(st.booleans()):
            gone = data.draw(st.sampled_from(there))
            there.remove(gone)
            tree.erase(gone)
        assert [item.value for item in tree] == sorted(item.value for item in there)
        assert tree.root is None or not tree.root.red
        blacks(tree.root)


def test_the_third_of_a_row_moves_the_root() -> None:
    tree: Tree[Number] = Tree()
    for value in (1, 2, 3):
        put(tree, Number(value))
    assert tree.root is not None
    assert tree.root.item.value == 2


def test_replace_keeps_the_shape() -> None:
    tree: Tree[Number] = Tree()
    numbers = [Number(value) for value in range(5)]
    for number in numbers:
        put(tree, number)
    other = Number(9)
    tree.replace(numbers[1], other)
    assert [item.value for item in tree] == [0, 9, 2, 3, 4]
