"""The `itk-nephi` command: each subcommand calls functions of this package.

torch and matplotlib are imported by the commands that need them, so that the others start at once
and work where torch is not installed.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
import threading
import traceback
from contextlib import nullcontext
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from itk_nephi.cli import (
    align,
    batch,
    compare,
    demo,
    info,
    register,
    register_series,
    train,
    transform,
)
from itk_nephi.cli.interrupts import heed_interrupts
from itk_nephi.cli.messages import libraries_apart, open_standard_streams, shown_messages
from itk_nephi.extras import named_extras
from itk_nephi.io.errors import plain_words
from itk_nephi.io.pair_table import TableError

logger = logging.getLogger(__name__)

ERRORS = (ValueError, TypeError, OSError, RuntimeError, ImportError, MemoryError)
"""What input can cause, shown as one sentence; anything else is a defect and shows a traceback."""


ANYWHERE = ("-v", "--verbose", "-q", "--quiet", "--debug")
"""The options that may stand before, between and after those of a command."""


class _Commands(TyperGroup):
    """Ends a failed command with one sentence and exit status 2, an interrupted one with 130."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take the options of all commands from anywhere before ``--``."""
        end = args.index("--") if "--" in args else len(args)
        ours = [word for word in args[:end] if word in ANYWHERE]
        others = [word for word in args[:end] if word not in ANYWHERE]
        return list(super().parse_args(ctx, [*ours, *others, *args[end:]]))

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            with named_extras():
                return super().invoke(ctx)
        except (typer.Exit, typer.Abort):
            raise
        except KeyboardInterrupt:
            typer.echo("itk-nephi: interrupted, nothing written", err=True)
            raise typer.Exit(130) from None
        except ERRORS as error:
            if ctx.params.get("debug"):
                traceback.print_exc()
            words = str(error) if isinstance(error, TableError) else plain_words(error)
            typer.echo(f"itk-nephi: error: {words}", err=True)
            raise typer.Exit(2) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Register images with neural deformation fields (NePhi); the results are ITK transforms.",
    epilog="-v, -q and --debug may stand anywhere. Exit codes: 0 done; 1 some pairs of a batch "
    "failed; 2 wrong input, in one sentence on stderr; 130 interrupted.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"itk-nephi {version('itk-nephi')}, itk {version('itk')}")
        raise typer.Exit


@app.callback()
def _options(
    ctx: typer.Context,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show versions, and exit."
        ),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Show each stage as it begins.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Show results and errors only.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks and every log line.")
    ] = False,
) -> None:
    if quiet and (verbose or debug):
        raise ValueError(f"expected one of -q and {'--debug' if debug else '-v'}, got both")
    level = logging.ERROR if quiet else logging.WARNING
    if verbose or debug:
        level = logging.DEBUG if debug else logging.INFO
    ctx.with_resource(shown_messages(level))


for command in (
    register.register,
    register_series.register_series,
    align.align,
    transform.transform_image,
    transform.transform_points,
    transform.transform_mesh,
    transform.convert,
    transform.invert,
    transform.jacobian,
    batch.batch,
    train.train,
    compare.compare,
    info.info,
    demo.demo,
):
    app.command()(command)


def _in_a_thread(ended: threading.ExceptHookArgs) -> None:
    """Keep a thread's traceback for --debug: the command reports what it means."""
    logger.debug("a thread ended with an error", exc_info=ended.exc_value)


def main() -> None:
    """Run the command line."""
    # torch's threads would otherwise wait for each other in busy loops, which costs a quiet machine
    # nothing and a busy one, where a thread waits for its turn, most of the time
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # loading libraries makes many objects and no garbage, which Python would search for all along
    gc.set_threshold(100_000, 20, 20)
    open_standard_streams()
    heed_interrupts()
    threading.excepthook = _in_a_thread
    with nullcontext() if "--debug" in sys.argv else libraries_apart():
        try:
            app(prog_name="itk-nephi")
        except KeyboardInterrupt:  # before a command or after it
            typer.echo("itk-nephi: interrupted", err=True)
            sys.exit(130)
        finally:
            gc.freeze()  # nor is there any to search for at the end
