"""fusednet with `matmul_precision="high"`; the rest is fusednet_fit.py's. Run by worker.py."""

import fusednet_fit


class Library(fusednet_fit.Library):
    precision = "high"
