"""What the programs of a run have reached, in words: `sockdiff uml coverage`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from stack_under_test.contract.target import Unavailable
from stack_under_test.uml.blocks import Blocks, Share, by_directory, by_function, read_blocks
from stack_under_test.uml.places import built


class Reached(NamedTuple):
    """One side of a run: the target's name, the kernel's, its table, and the set of block numbers."""

    target: str
    kernel: str
    blocks: Blocks
    reached: int


def sides(metadata: Mapping[str, Any], coverage: Mapping[str, str]) -> dict[str, Reached]:
    """The sides of a run that told their coverage.  `metadata` and `coverage` are those of its record.  Raises
    Unavailable when a kernel is not there any more."""
    builds = metadata.get("coverage")
    found = {}
    for side, blocks in coverage.items():
        name, _, build = str(builds.get(side, "") if isinstance(builds, dict) else "").partition(" ")
        table = _table(name, build)
        found[side] = Reached(str(metadata.get(side, side)), name, table, int(blocks, 16))
    return found


def _table(name: str, build: str) -> Blocks:
    for kernel in built():
        if kernel.name == name:
            try:
                table = read_blocks(kernel.blocks_file)
            except (OSError, ValueError):
                raise Unavailable(f"kernel {name} has no table of its code: build it again") from None
            if table.build == build:
                return table
            raise Unavailable(f"the run was made on another build of kernel {name}: its coverage cannot be named")
    raise Unavailable(f"no kernel {name or 'with coverage'} was built here: the run's coverage cannot be named")


def lines(found: Mapping[str, Reached], functions: bool) -> Iterator[str]:
    """A table a side; `functions`: then every function, with how many of its blocks were reached."""
    for side, (target, kernel, blocks, reached) in found.items():
        yield f"{side}: {target}, kernel {kernel}"
        yield f"  {'':12}{'functions':>16}{'':10}{'blocks':>16}"
        for directory, share in _with_total(by_directory(blocks, reached)).items():
            yield (
                f"  {directory:12}{f'{share.functions}/{share.all_functions}':>16}"
                f"{_percent(share.functions, share.all_functions):>10}"
                f"{f'{share.blocks}/{share.all_blocks}':>16}{_percent(share.blocks, share.all_blocks):>10}"
            )
        if functions:
            for function, count in by_function(blocks, reached):
                yield f"  {f'{count}/{len(function.offsets)}':>9}  {function.file} {function.name}"


def as_json(found: Mapping[str, Reached], functions: bool) -> dict[str, Any]:
    """The same as data."""
    return {
        side: {
            "target": target,
            "kernel": kernel,
            "build": blocks.build,
            "directories": {name: _share(share) for name, share in _with_total(by_directory(blocks, reached)).items()},
            **({"functions": _functions(blocks, reached)} if functions else {}),
        }
        for side, (target, kernel, blocks, reached) in found.items()
    }


def _functions(blocks: Blocks, reached: int) -> list[dict[str, Any]]:
    return [
        {"file": function.file, "function": function.name, "reached": count, "blocks": len(function.offsets)}
        for function, count in by_function(blocks, reached)
    ]


def _share(share: Share) -> dict[str, Any]:
    return {
        "functions": share.functions,
        "all_functions": share.all_functions,
        "blocks": share.blocks,
        "all_blocks": share.all_blocks,
        "permille": 1000 * share.blocks // max(1, share.all_blocks),
    }


def _with_total(shares: Mapping[str, Share]) -> dict[str, Share]:
    return {**shares, "all four": Share(*[sum(column) for column in zip(*shares.values(), strict=True)])}


def _percent(part: int, whole: int) -> str:
    tenths = 1000 * part // max(1, whole)
    return f"{tenths // 10}.{tenths % 10} %"
