"""`sockdiff uml build` and `sockdiff uml status`."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TypeAlias

from stack_under_test.uml import places
from stack_under_test.uml.places import FEATURES, RELEASES, Kernel

_DONE = 0


Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_arguments(parser: argparse.ArgumentParser) -> Commands:
    """The two subcommands; each sets `command`.  What is given back takes more of them."""
    commands: Commands = parser.add_subparsers(required=True, metavar="command", parser_class=type(parser))
    make = commands.add_parser("build", help="a user-mode kernel: fetch, patch, configure, compile (some minutes)")
    make.add_argument("--release", type=_release, default=RELEASES[0], help="of Debian's linux-source packages (%(default)s)")
    make.add_argument("--source", type=Path, help="a kernel tree or tarball instead; it is copied, never changed")
    make.add_argument("--kcov", action="store_true", help="with coverage of the network stack")
    make.add_argument("--kasan", action="store_true", help="with checks of every memory access")
    make.add_argument("--jobs", type=_jobs, default=os.cpu_count() or 1, help="compilers at a time (%(default)s)")
    make.set_defaults(command=_build)
    status = commands.add_parser("status", help="which kernels are there, and how the target `uml` stands")
    status.add_argument("--json", action="store_true", help="data instead of text")
    status.set_defaults(command=_status)
    return commands


def _release(text: str) -> str:
    if not places.is_release(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no release")
    return text


def _jobs(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of compilers")
    return int(text)


def _build(args: argparse.Namespace) -> int:
    from stack_under_test.uml.build import build  # noqa: PLC0415 (every command of sockdiff imports this file)
    from stack_under_test.uml.steps import terminal  # noqa: PLC0415

    kernel = Kernel(args.release, tuple(feature for feature in FEATURES if getattr(args, feature)))
    image = build(kernel, args.source, args.jobs, terminal)
    terminal("")
    facts = kernel.facts()
    print(f"{image}: Linux {facts['release']}, {facts['seconds']} s")
    return _DONE


def _status(args: argparse.Namespace) -> int:
    from stack_under_test.uml.build import current  # noqa: PLC0415

    rows = {
        kernel.name: {"image": str(kernel.image), "current": current(kernel), **kernel.facts()} for kernel in places.built()
    }
    reason = places.available()
    if args.json:
        print(json.dumps({"unavailable": reason, "folder": str(places.cache()), "kernels": rows}, indent=1))
        return _DONE
    print(f"target uml: {'available' if reason is None else f'not available: {reason}'}")
    for name, row in rows.items():
        stale = "" if row["current"] else "; its patches or configuration have changed since: build it again"
        print(f"{name:12} Linux {row.get('release', '?')}, built in {row.get('seconds', '?')} s: {row['image']}{stale}")
    return _DONE
