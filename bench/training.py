"""How fast whole trainings are: `fusednet bench` on every job, and on `default` at other batch sizes.

`python bench/training.py [JOB ...] [OPTION ...]` takes the command's jobs and options (fusednet/cli/_bench.py).
"""

import sys

from fusednet.bench.workloads import JOBS
from fusednet.cli import main

BATCHES = (1, 8, 32, 128, 1024)
"""Of the job `default`, at which more threads must not be slower."""

if __name__ == "__main__":
    given = sys.argv[1:]
    jobs = [] if given and not given[0].startswith("-") else [*JOBS, *(f"default@{batch}" for batch in BATCHES)]
    sys.exit(main(["bench", *jobs, *given]))
