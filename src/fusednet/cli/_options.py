"""The words of the command line: subcommands, options, their ranges and defaults.

Reads errors.py, tabular.py (names of tasks) and the version; read by cli/__init__.py, cli/_train.py, cli/_bench.py.

a) Options that describe the network have no default in the parser (`DEFAULTS` has them): after ``--resume`` they come
   from the model file, and one that is given all the same must agree with it.
"""

import argparse

import fusednet
from fusednet import errors, tabular

DEFAULTS = {
    "hidden": (128, 64), "batch_size": 64, "learning_rate": None, "optimizer": "adam", "dropout": 0.0,
    "batch_norm": True, "patience": 20, "seed": 0, "task": None, "drop": (),
}  # fmt: skip
"""What a training keeps for good."""
EPOCHS = 200
OPTIMIZERS = ("adam", "adamw", "rmsprop", "adagrad", "sgd")


def _checked(check, *arguments, **options):
    """An argparse type from a function of errors.py."""

    def convert(text: str):
        try:
            number = float(text) if check is errors.real else int(text)
        except ValueError:
            wanted = "a number" if check is errors.real else "a whole number"
            raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}") from None
        try:
            return check("", "", number, *arguments, **options)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error).removeprefix(":  is ")) from None

    return convert


def _sizes(text: str) -> tuple[int, ...]:
    if text.strip() in ("0", "none"):
        return ()
    try:
        sizes = tuple(int(word) for word in text.split(","))
        if min(sizes) < 1:
            raise ValueError
        return sizes
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not sizes of layers; wanted whole numbers with commas, such as 128,64, or none"
        ) from None


def _names(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _file(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("'' is not the name of a file")
    return text


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str):
        self.exit(2, f"{self.prog}: error: {message} ({self.prog} --help)\n")


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    top = _Parser("fusednet", description="Dense neural networks on CPUs, trained from a file.")
    top.add_argument("--version", action="version", version=f"fusednet {fusednet.__version__}")
    commands = top.add_subparsers(dest="command", metavar="{train,predict,info,bench}")
    _train(commands.add_parser(
        "train", help="train a network on a table, or on the digits that come with fusednet", allow_abbrev=False,
        description="Train a network on a CSV or Parquet file and save it. Without a file: on handwritten digits.",
    ))
    predict = commands.add_parser(
        "predict", help="predict with a model that train has saved", allow_abbrev=False,
        description="Predict each row of a CSV or Parquet file: a CSV table of predictions, for classes with their "
                    "probabilities.",
    )
    predict.add_argument("model", type=_file, help="a file that fusednet train, or Sequential.save, has written")
    predict.add_argument("data", type=_file,
                         help="CSV or Parquet with the columns that the model was trained on, in any order")
    predict.add_argument("-o", "--output", type=_file, metavar="FILE",
                         help="where to; by default to the standard output")
    predict.add_argument("--threads", type=_checked(errors.integer, 1), metavar="N", help="by default all processors")
    commands.add_parser(
        "info", help="show version, instruction set, threads, backends and build", allow_abbrev=False,
        description="Show versions, the backend and instruction set in use and those there are, threads, how the "
                    "native code was built, and the environment variables that fusednet reads.",
    )
    _bench(commands.add_parser(
        "bench", help="measure trainings on this machine, beside its limits and other libraries", allow_abbrev=False,
        description="Measure how fast networks are trained on this machine: alone, beside what the machine can do at "
                    "best (--ceilings), or beside the other libraries that are installed (--peers).",
    ))
    return top


def _train(parser: argparse.ArgumentParser) -> None:
    whole, positive = _checked(errors.integer, 1), _checked(errors.real, 0, open_low=True)
    parser.add_argument("data", nargs="?", type=_file, help="CSV or Parquet, names of the columns in the first line")
    parser.add_argument("-t", "--target", metavar="COLUMN", help="the column to predict")
    parser.add_argument("--task", choices=tabular.TASKS, help="by default found from what the target holds")
    parser.add_argument("--drop", type=_names, metavar="COLUMN,...", help="columns not to be used")
    network = parser.add_argument_group("network")
    network.add_argument("--hidden", type=_sizes, metavar="SIZE,...",
                         help="sizes of the hidden layers, or none; by default "
                              f"{','.join(map(str, DEFAULTS['hidden']))}")
    network.add_argument("--dropout", type=_checked(errors.real, 0, 1, open_high=True), metavar="RATE",
                         help=f"after each hidden layer; by default {DEFAULTS['dropout']:g}")
    network.add_argument("--batch-norm", action=argparse.BooleanOptionalAction, default=None,
                         help="before each hidden layer's activation; by default "
                              f"{'on' if DEFAULTS['batch_norm'] else 'off'}")
    training = parser.add_argument_group("training")
    training.add_argument("--epochs", type=whole, metavar="N", help=f"at most; by default {EPOCHS}")
    training.add_argument("--patience", type=whole, metavar="N",
                          help="stop when so many epochs were not better on the validation rows; by default "
                               f"{DEFAULTS['patience']}")
    training.add_argument("--time-limit", type=positive, metavar="SECONDS", help="stop after so long")
    training.add_argument("--batch-size", type=whole, metavar="ROWS",
                          help=f"of a step; by default {DEFAULTS['batch_size']}")
    training.add_argument("--optimizer", choices=OPTIMIZERS, help=f"by default {DEFAULTS['optimizer']}")
    training.add_argument("--learning-rate", type=positive, metavar="RATE", help="by default the optimizer's")
    training.add_argument("--seed", type=_checked(errors.integer, 0), metavar="N",
                          help=f"of all that is drawn; by default {DEFAULTS['seed']}")
    training.add_argument("--threads", type=whole, metavar="N", help="by default all processors")
    parser.add_argument("-o", "--output", type=_file, metavar="FILE",
                        help="where to save; by default the data's name with the ending .safetensors, in this folder")
    parser.add_argument("--resume", action="store_true",
                        help="go on with the training in the output file, which was stopped")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar")


def _counts(text: str) -> tuple[int | str, ...]:
    words = _names(text)
    if not words or not all(word == "all" or (word.isdecimal() and int(word)) for word in words):
        raise argparse.ArgumentTypeError(f"{text!r} is not numbers of threads; wanted such as 1,all")
    return tuple(word if word == "all" else int(word) for word in words)


def _bench(parser: argparse.ArgumentParser) -> None:
    whole, positive = _checked(errors.integer, 1), _checked(errors.real, 0, open_low=True)
    parser.add_argument("jobs", nargs="*", metavar="JOB",
                        help="tiny, rl, default, tabular, book, mnist, deep, wide, bigbatch, with --peers also "
                             "predict; by default all. default@8 is the job default in batches of 8")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--ceilings", action="store_true",
                      help="multiply-adds per second, and bytes per second of each level of memory, at best")
    what.add_argument("--memory", action="store_true",
                      help="how much memory each job takes, beside its parameters, moments and activations (Linux)")
    what.add_argument("--peers", action="store_true", help="the jobs on other libraries too, in turns")
    parser.add_argument("--threads", type=_counts, default=(1, "all"), metavar="N,...", help="by default 1,all")
    parser.add_argument("--rounds", type=whole, metavar="N", help="turns; by default 5, of ceilings 15")
    parser.add_argument("--seconds", type=positive, metavar="SECONDS", help="of a turn of a job; by default 0.4")
    peers = parser.add_argument_group("with --peers")
    peers.add_argument("--libraries", type=_names, metavar="NAME,...", help="by default all that are installed")
    peers.add_argument("--environments", metavar="FOLDER",
                       help="with a virtual environment for each library; by default that of bench/peers/setup.sh")
    peers.add_argument("--write", metavar="FILE.md", help="the tables as a page")
    peers.add_argument("--chart", metavar="FILE.svg", help="the chart; by default peers.svg in this folder")
    peers.add_argument("--results", metavar="FILE.json", help="takes the figures, and keeps those of other jobs")
    peers.add_argument("--tables", action="store_true", help="measure nothing more: show what --results has")
    peers.add_argument("--wait", action="store_true", help="when all is compiled, wait for a line before timing a job")


PEERS = ("libraries", "environments", "write", "chart", "results", "tables", "wait")
"""The options that need ``--peers``."""
