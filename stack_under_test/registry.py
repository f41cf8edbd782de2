"""Targets by name.

A specification is a name and options, ``reference``, ``reference:seed=7`` or ``uml:6.1``.  Other people's targets join
through the entry-point group ``sockdiff.targets``: each entry point loads to a `Kind`.  Nothing of a target is imported
before it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points

from stack_under_test.contract.target import Target, Unavailable

GROUP = "sockdiff.targets"


class BadTarget(ValueError):
    """A specification that names no target, or options the target does not have; `str()` is one line."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A sort of target.

    about      one line for people
    make       options by name -> a running target; raises Unavailable, or ValueError for an option it does not know
    available  None, or one line that says what is missing on this machine
    main       the option that a value without a name is for (``uml:6.1``), if any
    """

    about: str
    make: Callable[[Mapping[str, str]], Target]
    available: Callable[[], str | None] = lambda: None
    main: str = ""


def kinds() -> Mapping[str, Kind]:
    """Every target there is, ours and others', by name. One that cannot be loaded says so when asked."""
    found = {"linux": _LINUX, "reference": _REFERENCE, "uml": _UML}
    for point in entry_points(group=GROUP):
        if point.name not in found:
            found[point.name] = _outside(point.load)
    return found


def why_unavailable(spec: str) -> str | None:
    """None when `spec` can be opened here, else one line. Raises BadTarget."""
    kind, _ = _kind(spec)
    return kind.available()


def open_target(spec: str) -> Target:
    """A running target. Raises BadTarget, or Unavailable."""
    kind, options = _kind(spec)
    # Which of several variants is there, only making it tells.
    reason = None if options and kind.main else kind.available()
    if reason is not None:
        raise Unavailable(f"target {spec!r} is not available: {reason}")
    try:
        return kind.make(options)
    except ValueError as error:
        raise BadTarget(f"target {spec!r}: {error}") from None


def _kind(spec: str) -> tuple[Kind, dict[str, str]]:
    name, _, rest = spec.partition(":")
    known = kinds()
    if name not in known:
        raise BadTarget(f"unknown target {name!r}; there are: {', '.join(sorted(known))}")
    options = {}
    for item in rest.split(",") if rest else ():
        key, sign, value = item.partition("=")
        if not sign and item and known[name].main:
            key, sign, value = known[name].main, "=", item
        if not key or not sign:
            raise BadTarget(f"target {spec!r}: options are written name=value,name=value, found {item!r}")
        options[key] = value
    return known[name], options


def _outside(load: Callable[[], Kind]) -> Kind:
    """A target of somebody else's, loaded when it is first needed."""

    def available() -> str | None:
        try:
            return load().available()
        except Exception as error:
            return f"cannot be loaded: {type(error).__name__}: {error}"

    return Kind("from another distribution", lambda options: load().make(options), available)


def _refuse(options: Mapping[str, str]) -> None:
    if options:
        raise ValueError(f"unknown option {sorted(options)[0]!r}")


def _make_linux(options: Mapping[str, str]) -> Target:
    _refuse(options)
    target: Target = import_module("stack_under_test.linux").LinuxTarget()
    return target


def _linux_available() -> str | None:
    reason: str | None = import_module("stack_under_test.linux").available()
    return reason


def _make_reference(options: Mapping[str, str]) -> Target:
    rest = dict(options)
    seed = int(rest.pop("seed", "0"), 0)
    _refuse(rest)
    target: Target = import_module("stack_under_test.reference.target").ReferenceTarget(seed)
    return target


def _make_uml(options: Mapping[str, str]) -> Target:
    rest = dict(options)
    places = import_module("stack_under_test.uml.places")
    release, seed = rest.pop("release", places.RELEASES[0]), int(rest.pop("seed", "0"), 0)
    if not places.is_release(release):
        raise ValueError(f"{release!r} is no release")
    if not 0 <= seed < 1 << 64:
        raise ValueError("a seed is from 0 to 2**64 - 1")
    wanted = {feature: rest.pop(feature, "0") for feature in places.FEATURES}
    for feature, value in wanted.items():
        if value not in ("0", "1"):
            raise ValueError(f"{feature} is 0 or 1, not {value!r}")
    _refuse(rest)
    kernel = places.Kernel(release, tuple(feature for feature, value in wanted.items() if value == "1"))
    target: Target = import_module("stack_under_test.uml.target").UmlTarget(kernel, seed)
    return target


def _uml_available() -> str | None:
    reason: str | None = import_module("stack_under_test.uml.places").some_available()
    return reason


_LINUX = Kind("this machine's kernel, in a network namespace of its own", _make_linux, _linux_available)
_REFERENCE = Kind("our stack, in Python, in virtual time", _make_reference)
_UML = Kind("Linux in virtual time: a user-mode kernel, see `sockdiff uml`", _make_uml, _uml_available, main="release")
