"""The command line: reads arguments, calls the rooms, prints, and turns what went wrong into one line and a status.

0  nothing that is not listed in the baseline        1  divergences
2  could not run; one line on standard error         130  interrupted        141  nobody reads the output
                                                     143  ended by SIGTERM
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from decimal import Decimal, InvalidOperation
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from conformance.harness.baseline import Baseline
    from stack_under_test.contract.program import Program
    from stack_under_test.contract.target import Target, Traits

AGREE, DIVERGED, CANNOT_RUN, INTERRUPTED, NO_READER, TERMINATED = 0, 1, 2, 130, 141, 143
FORMATS = ("html", "json", "markdown", "junit", "sarif")
_MINUTE = 60_000_000_000
_BASELINES = Path(__file__).parent / "conformance" / "baselines"
_TIMERS = Path(__file__).parent / "conformance" / "cases" / "timers"


class CannotRun(Exception):
    """One line that says why."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, no usage: `--help` shows that."""
        print(f"sockdiff: {message}", file=sys.stderr)
        sys.exit(CANNOT_RUN)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit status. Raises SystemExit for bad options and for --help."""
    args = _parser().parse_args(arguments)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminated)
    try:
        status: int = args.command(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("sockdiff: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NO_READER
    except Exception as error:
        if not isinstance(error, _expected()):
            raise
        print(f"sockdiff: {_line(error)}", file=sys.stderr)
        _discard_output()
        return CANNOT_RUN
    return status


def _terminated(signo: int, frame: object) -> NoReturn:
    """Whoever ends us wants what we have started to be ended too, which the way out does."""
    sys.exit(TERMINATED)


def _expected() -> tuple[type[Exception], ...]:
    """What can go wrong without anything being wrong with us. Imported late: most commands never need it."""
    from conformance.harness.baseline import BaselineError  # noqa: PLC0415
    from conformance.harness.record import RecordError  # noqa: PLC0415
    from fuzz.campaign import CampaignError  # noqa: PLC0415
    from stack_under_test.contract.target import Unavailable  # noqa: PLC0415
    from stack_under_test.registry import BadTarget  # noqa: PLC0415

    return (CannotRun, BaselineError, RecordError, CampaignError, Unavailable, BadTarget, OSError)


def _line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def _discard_output() -> None:
    """What could not be written is not tried again when the interpreter ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# --- commands


def _targets(args: argparse.Namespace) -> int:
    from stack_under_test.registry import kinds  # noqa: PLC0415

    rows = {name: (kind.about, kind.available()) for name, kind in sorted(kinds().items())}
    if args.json:
        _print_json({name: {"about": about, "unavailable": reason} for name, (about, reason) in rows.items()})
        return AGREE
    for name, (about, reason) in rows.items():
        print(f"{name:12} {'available' if reason is None else f'not available: {reason}'}")
        print(f"{'':12} {about}")
    return AGREE


def _run(args: argparse.Namespace) -> int:
    from fuzz import show  # noqa: PLC0415

    program = _read_program(args.file)
    with closing(_open(args.target)) as target:
        trace, traits = target.run(program), target.traits
    if args.json:
        _print_json(show.trace_json(program, trace, traits))
    else:
        _print_lines(show.run_lines(program, trace, traits))
    return AGREE


def _diff(args: argparse.Namespace) -> int:
    from conformance.harness.lockstep import Agree, Diverge, Pair, Unsteady  # noqa: PLC0415
    from fuzz import show  # noqa: PLC0415
    from fuzz.explain import Explainer  # noqa: PLC0415

    program = _read_program(args.file)
    with closing(_open(args.left)) as left, closing(_open(args.right)) as right:
        result, judged = Explainer(Pair(left, right)).run(program)
        traits = left.traits, right.traits
    listed = ""
    if isinstance(result, Diverge) and not judged.fields:
        entry = _baseline(args).entry(result.divergence.fingerprint, traits[0].release)
        listed = entry.reason if entry is not None else ""
    if args.json:
        _print_json({**show.result_json(result), "listed": listed, **show.judged_json(judged)})
    elif isinstance(result, Diverge | Unsteady):
        step = result.divergence.step
        _print_lines(show.difference_lines(program, (args.left, args.right), (result.left, result.right), traits, step))
    if isinstance(result, Agree | Diverge):
        if not args.json:
            _print_lines([show.verdict(result), *show.judged_lines(judged), *([f"listed: {listed}"] if listed else [])])
        return DIVERGED if isinstance(result, Diverge) and not listed and not judged.fields else AGREE
    raise CannotRun(show.verdict(result))


def _fuzz(args: argparse.Namespace) -> int:
    from conformance.harness.record import read_record  # noqa: PLC0415
    from fuzz.campaign import Order, run_campaign, usual_jobs  # noqa: PLC0415
    from fuzz.profile import DEFAULT, TIMED, VIRTUAL  # noqa: PLC0415
    from fuzz.progress import Progress  # noqa: PLC0415
    from fuzz.summary import summary_json, summary_lines  # noqa: PLC0415

    seed = _seed(args)
    out = Path(args.out or f"sockdiff-out/{_plain(args.left)}-{_plain(args.right)}-{seed}")
    traits = [_traits(spec) for spec in (args.left, args.right)]
    order = Order(
        args.left,
        args.right,
        out,
        seed,
        args.programs if args.programs or args.minutes else 1000,
        args.minutes,
        args.jobs or usual_jobs(),
        TIMED if args.timed else VIRTUAL if all(trait.virtual_time for trait in traits) else DEFAULT,
        baseline=_baseline(args),
        release=traits[0].release,
        metadata=(*_metadata(traits), *([("timed", True)] if args.timed else [])),
    )
    progress = Progress(sys.stderr)
    heading = f"{args.left} and {args.right}, seed {seed}, recorded in {out}"
    if sys.stderr.isatty():
        print(heading, file=sys.stderr)
    try:
        summary = run_campaign(
            order,
            lambda permille, totals, findings: progress.show(permille, f"{totals.programs} programs, {findings} divergences"),
        )
    finally:
        progress.clear()
    report = _write_report(out, read_record(out))
    if args.json:
        _print_json({**summary_json(summary), "report": str(report), "seed": seed, "out": str(out)})
    else:
        _print_lines([heading, *summary_lines(summary), f"report: {report}"])
    if summary.interrupted:
        print(f"sockdiff: interrupted; findings are kept, the same --out goes on: {out}", file=sys.stderr)
        return INTERRUPTED
    stale = order.baseline.stale(summary.occurrences, order.release) if args.strict else ()
    for entry in stale:
        print(f"sockdiff: listed, but did not occur: {entry.fingerprint} {entry.summary}", file=sys.stderr)
    return DIVERGED if summary.unlisted or stale else AGREE


def _report(args: argparse.Namespace) -> int:
    from conformance.harness.record import read_record  # noqa: PLC0415

    text = _rendered(read_record(Path(args.directory)), args.format)
    if args.output:
        Path(args.output).write_text(text, "utf-8")
    else:
        sys.stdout.write(text)
    return AGREE


def _coverage(args: argparse.Namespace) -> int:
    from conformance.harness.record import read_record  # noqa: PLC0415
    from stack_under_test.uml import reach  # noqa: PLC0415

    record = read_record(Path(args.run))
    if not record.coverage:
        raise CannotRun(f"{args.run}: no coverage was recorded; one of the targets has to be uml:kcov=1")
    found = reach.sides(record.metadata, record.coverage)
    if args.json:
        _print_json(reach.as_json(found, args.functions))
    else:
        _print_lines(reach.lines(found, args.functions))
    return AGREE


def _check(args: argparse.Namespace) -> int:
    from conformance import crosscheck  # noqa: PLC0415
    from stack_under_test.uml.steps import terminal  # noqa: PLC0415

    files = [Path(name) for name in args.files] or sorted(_TIMERS.glob("*.txt"))
    programs = {str(path) if args.files else path.stem: _read_program(str(path)) for path in files}
    report = crosscheck.crosscheck(programs, args.release, args.minutes, terminal)
    terminal("")
    if args.json:
        _print_json(crosscheck.as_json(report))
    else:
        _print_lines(crosscheck.table(report))
    return DIVERGED if any(row.problem for row in report.rows) else AGREE


def _repeat(args: argparse.Namespace) -> int:
    from dataclasses import asdict  # noqa: PLC0415

    from fuzz.progress import Progress  # noqa: PLC0415
    from fuzz.repeat import repeat, repeated_lines  # noqa: PLC0415

    if not _traits(args.target).virtual_time:
        raise CannotRun(f"target {args.target!r} runs in real time, in which nothing is the same twice")
    progress = Progress(sys.stderr)
    try:
        fresh = min(args.fresh, args.programs)
        result = repeat(args.target, args.programs, args.seed, fresh, lambda permille: progress.show(permille, "programs"))
    finally:
        progress.clear()
    if args.json:
        _print_json(asdict(result))
    else:
        _print_lines(repeated_lines(result))
    return DIVERGED if result.differences else AGREE


def _bench(args: argparse.Namespace) -> int:
    from fuzz.bench import bench, table  # noqa: PLC0415
    from fuzz.campaign import usual_jobs  # noqa: PLC0415
    from fuzz.progress import Progress  # noqa: PLC0415

    progress, figures = Progress(sys.stderr), []
    for figure in bench(args.programs, args.jobs or usual_jobs()):
        figures.append(figure)
        progress.show(1000 * len(figures) // 10, figure.name)
    progress.clear()
    if args.json:
        _print_json([figure._asdict() for figure in figures])
    else:
        _print_lines(table(figures))
    return AGREE


# --- what the commands share


def _read_program(name: str) -> Program:
    from stack_under_test.contract.parser import ProgramError, parse_program  # noqa: PLC0415

    shown = "standard input" if name == "-" else name
    try:
        octets = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return parse_program(octets.decode())
    except UnicodeDecodeError as error:
        raise CannotRun(f"{shown}: not text: octet {error.start} is no UTF-8") from None
    except ProgramError as error:
        raise CannotRun(f"{shown}: {error}") from None


def _open(spec: str) -> Target:
    from stack_under_test.registry import open_target  # noqa: PLC0415

    return open_target(spec)


def _traits(spec: str) -> Traits:
    """Of a target that is really opened: whether it works shows before a campaign begins."""
    with closing(_open(spec)) as target:
        return target.traits


def _metadata(traits: Sequence[Traits]) -> tuple[tuple[str, Any], ...]:
    from stack_under_test.contract import coverage  # noqa: PLC0415
    from stack_under_test.contract.world import PINNED  # noqa: PLC0415

    sides = [
        (f"{side}_{name}", value)
        for side, trait in zip(("left", "right"), traits, strict=True)
        for name, value in (("release", trait.release), ("facts", dict(trait.facts)))
    ]
    builds = {
        side: build
        for side, trait in zip(("left", "right"), traits, strict=True)
        if (build := dict(trait.facts).get(coverage.NAME))
    }
    return (*sides, ("sysctls", dict(PINNED)), *([("coverage", builds)] if builds else []))


def _baseline(args: argparse.Namespace) -> Baseline:
    """The file that was named, which must be there, else the one of the right target, if there is one."""
    from conformance.harness.baseline import load  # noqa: PLC0415

    if args.baseline and not Path(args.baseline).exists():
        raise CannotRun(f"{args.baseline}: no such file")
    return load(Path(args.baseline or _BASELINES / f"{_plain(args.right)}.toml"))


def _seed(args: argparse.Namespace) -> int:
    """The one that was given, else that of the record to go on with, else a new one."""
    from conformance.harness.record import RUN, read_record  # noqa: PLC0415

    if args.seed is not None:
        return int(args.seed)
    if args.out and (Path(args.out) / RUN).exists():
        seed = read_record(Path(args.out)).metadata.get("seed")
        if isinstance(seed, int):
            return seed
    return int.from_bytes(os.urandom(4), "big")


def _rendered(record: Any, form: str) -> str:
    from dataclasses import replace  # noqa: PLC0415

    from fuzz.campaign import latest  # noqa: PLC0415
    from reports import render  # noqa: PLC0415

    text: str = render(replace(record, findings=latest(record.findings)), form)
    return text


def _write_report(out: Path, record: Any) -> Path:
    path = out / "report.html"
    path.write_text(_rendered(record, "html"), "utf-8")
    return path


def _plain(spec: str) -> str:
    return spec.partition(":")[0]


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1))


def _print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)


# --- arguments


def _count(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


def _seed_number(text: str) -> int:
    try:
        number = int(text, 0)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
    if not 0 <= number < 1 << 64:
        raise argparse.ArgumentTypeError("a seed is from 0 to 2**64 - 1")
    return number


def _minutes(text: str) -> int:
    """Nanoseconds."""
    try:
        limit = int(Decimal(text) * _MINUTE)
    except (InvalidOperation, ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of minutes") from None
    if limit <= 0:
        raise argparse.ArgumentTypeError(f"{text} minutes is no time")
    return limit


Command = Callable[[argparse.Namespace], int]


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="sockdiff",
        description="One program of socket calls, packets and time on two TCP/IP stacks.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(required=True, metavar="command", parser_class=_Parser)

    def add(name: str, command: Command, text: str, json_too: bool = True) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        added.set_defaults(command=command)
        if json_too:
            added.add_argument("--json", action="store_true", help="data instead of text")
        return added

    add("targets", _targets, "what can be driven here, and if not, why")
    run = add("run", _run, "one program on one target: every result and packet")
    run.add_argument("file", help="a program (docs/programs.md), - for standard input")
    run.add_argument("--target", required=True, help="linux, reference, or another of `sockdiff targets`")
    diff = add("diff", _diff, "one program on two targets: the first difference")
    diff.add_argument("file", help="a program (docs/programs.md), - for standard input")
    _add_sides(diff)
    fuzz = add("fuzz", _fuzz, "a campaign of generated programs on two targets")
    _add_sides(fuzz)
    fuzz.add_argument("--programs", type=_count, help="how many (1000, without --minutes)")
    fuzz.add_argument("--minutes", type=_minutes, help="for how long")
    fuzz.add_argument("--seed", type=_seed_number, help="the same seed gives the same programs (a new one)")
    fuzz.add_argument("--timed", action="store_true", help="let 5 ms to a second pass in every program, in real time too")
    fuzz.add_argument("--jobs", type=_count, help="processes (one per processor)")
    fuzz.add_argument("--strict", action="store_true", help="a listed divergence that does not occur is a failure too")
    fuzz.add_argument("--out", help="directory of the record; goes on with the one it holds (sockdiff-out/...)")
    report = add("report", _report, "a campaign's record, for reading", json_too=False)
    report.add_argument("directory", help="the --out of a campaign")
    report.add_argument("--format", choices=FORMATS, default="html")
    report.add_argument("--output", help="a file (standard output)")
    uml = commands.add_parser("uml", help="kernels for the target `uml`: build, status, check, coverage", allow_abbrev=False)
    more = import_module("stack_under_test.uml.commands").add_arguments(uml)
    check = more.add_parser("check", help="the user-mode kernel against a stock one under qemu, slowly", allow_abbrev=False)
    check.set_defaults(command=_check)
    check.add_argument("files", nargs="*", help="programs (conformance/cases/timers)")
    check.add_argument("--release", default="6.12", help="of the user-mode kernel (%(default)s)")
    check.add_argument("--minutes", type=_minutes, default=30 * _MINUTE, help="the most that a boot may take (30)")
    check.add_argument("--json", action="store_true", help="data instead of text")
    reached = more.add_parser("coverage", help="which code of the kernel a campaign has reached", allow_abbrev=False)
    reached.set_defaults(command=_coverage)
    reached.add_argument("run", help="the --out of a campaign of which a side is uml:kcov=1")
    reached.add_argument("--functions", action="store_true", help="every function, with how many of its blocks")
    reached.add_argument("--json", action="store_true", help="data instead of text")
    repeat = add("repeat", _repeat, "whether a target in virtual time does the same again, to the octet")
    repeat.add_argument("--target", default="uml", help="a target in virtual time (uml)")
    repeat.add_argument("--programs", type=_count, default=1000, help="how many (1000)")
    repeat.add_argument("--seed", type=_seed_number, default=0, help="of the programs (0)")
    repeat.add_argument("--fresh", type=_count, default=20, help="how many on an instance of their own too (20)")
    bench = add("bench", _bench, "programs and steps a second, against the bare limit of this kernel")
    bench.add_argument("--programs", type=_count, default=1000, help="for each figure (1000)")
    bench.add_argument("--jobs", type=_count, help="processes of the last figure (one per processor)")
    return parser


def _add_sides(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--left", default="linux", help="the target that is right (linux)")
    parser.add_argument("--right", default="reference", help="the target under test (reference)")
    parser.add_argument("--baseline", help="known divergences (conformance/baselines/RIGHT.toml)")


if __name__ == "__main__":
    sys.exit(main())
