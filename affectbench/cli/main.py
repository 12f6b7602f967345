"""Entry point: parse, run one verb, turn user errors into one line and an exit code.

`docs/continuous-integration.md` has the exit codes.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Sequence

from affectbench import __version__
from affectbench.cli import (
    assets,
    check,
    compare,
    datasets,
    leaderboard,
    lists,
    report,
    run,
    score,
    table,
    validate,
)
from affectbench.cli.options import Parser
from affectbench.cli.output import drop, finish, hold_descriptors, note
from affectbench.cli.signals import Terminated, ended_by_signals
from affectbench.errors import AffectBenchError

_VERBS = (compare, score, run, table, report, lists, datasets, assets, check, leaderboard, validate)
_EPILOG = """\
examples:
  affectbench compare --models nearest,bicubic,lanczos
  affectbench compare --models checkpoint:mine.pth --datasets celeba,ffhq --data-root faces
  affectbench score --sr my_results --hr ground_truth

exit codes: 0 fine; 1 a model failed, a check found a difference or --fail-if a reason;
2 wrong usage or input; 130, 143 and 129 interrupted by Ctrl-C, TERM and HUP
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = Parser(
        prog="affectbench",
        description="Does a super-resolved face still show the emotion of the original?",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"affectbench {__version__}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show tracebacks of errors")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in _VERBS:
        verb.add_parser(verbs, common)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    hold_descriptors()
    debug = False
    try:
        arguments = _parsed(argv)
        debug = arguments.debug
        with ended_by_signals():
            code = int(arguments.run(arguments))
        finish()
        return code
    except AffectBenchError as error:
        if debug:
            raise
        note(f"affectbench: error: {error}")
        return error.exit_code
    except KeyboardInterrupt as interrupt:
        note("affectbench: interrupted; the same command goes on from here")
        return 128 + (interrupt.signal if isinstance(interrupt, Terminated) else signal.SIGINT)
    except BrokenPipeError:
        drop()  # the reader of stdout is gone (`| head`) and needs no more output
        return 0
    except OSError as error:
        # A file or folder error of the system: a traceback would not help.
        if debug:
            raise
        place = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        note(f"affectbench: error: {place}{error.strerror or error}")
        return 2


def _parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    try:
        arguments = build_parser().parse_args(argv)
    except SystemExit:
        finish()  # flush the output of --help and --version
        raise
    arguments.command = shlex.join(["affectbench", *(sys.argv[1:] if argv is None else argv)])
    return arguments


if __name__ == "__main__":
    sys.exit(main())
