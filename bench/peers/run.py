"""The jobs on fusednet and on the other libraries, in turns: `fusednet bench --peers`, with its jobs and options.

`bench/peers/setup.sh` makes the environments, `python bench/peers/run.py [JOB ...] [OPTION ...]` measures;
bench/README.md explains.
"""

import sys

from fusednet.cli import main

if __name__ == "__main__":
    sys.exit(main(["bench", "--peers", *sys.argv[1:]]))
