"""The command ``fusednet``: ``train`` and ``predict`` for people who have a file, ``info`` and ``bench`` for all.

`main` is the console script of pyproject.toml and is called by ``python -m fusednet``. Reads cli/_options.py for the
words, cli/_text.py, and the module of a subcommand when it is asked for.

a) What is wrong with a file, a table or an option is one line on stderr and exit status 2. Anything else is a fault of
   the library and comes with its traceback.
b) Results go to stdout; progress, remarks and errors to stderr, so that predictions can be piped. What a closed one
   does not take is dropped, and nothing else changes.
c) Nothing is computed here: the subcommands use `Sequential` as anybody does.
"""

import contextlib
import errno
import os
import sys

from fusednet.cli import _options
from fusednet.cli._text import Outlet

WRONG, INTERRUPTED = 2, 130
"""Exit statuses: something given is not valid; Ctrl-C (as shells have it: 128 and the number of the signal)."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : list of str, optional
        By default those of the process.

    Returns
    -------
    int
        Exit status: 0, `WRONG` or `INTERRUPTED`; of ``bench``, 1 if what was measured is not as it should be.
    """
    with contextlib.ExitStack() as streams:
        for name, redirect in (("stdout", contextlib.redirect_stdout), ("stderr", contextlib.redirect_stderr)):
            # None: whoever started the process has closed it
            stream = getattr(sys, name) or streams.enter_context(open(os.devnull, "w", encoding="utf-8"))
            streams.enter_context(redirect(Outlet(stream)))
        return _main(arguments)


def _main(arguments: list[str] | None) -> int:
    parser = _options.parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help(sys.stderr)
        return WRONG
    try:
        if options.command == "info":
            from fusednet import info

            info.show()
            status = 0
        elif options.command == "train":
            from fusednet.cli import _train

            status = INTERRUPTED if _train.run(options) else 0
        elif options.command == "predict":
            from fusednet.cli import _predict

            status = _predict.run(options)
        else:
            from fusednet.cli import _bench

            status = _bench.run(options)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print("\nfusednet: interrupted", file=sys.stderr)
        return INTERRUPTED
    except MemoryError as error:
        print(f"fusednet {options.command}: error: there is not enough memory: {_sentence(error)}", file=sys.stderr)
        return WRONG
    except (ValueError, ImportError, OSError) as error:
        print(f"fusednet {options.command}: error: {_sentence(error)}", file=sys.stderr)
        return WRONG


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"the output cannot be written: {error.strerror}"  # files have names
    return " ".join(str(error).split())
