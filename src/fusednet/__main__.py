"""``python -m fusednet``: the same as the command ``fusednet``, for where that is not on the path. Reads cli."""

import sys

from fusednet.cli import main

sys.exit(main())
