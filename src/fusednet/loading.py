"""`load`: from a file to a model.

Reads io.py (files), contents.py (what is in one) and model.py; read by ensemble.py, whose files hold several, and the
command (cli/_train.py, cli/_predict.py).
"""

from fusednet import contents, io
from fusednet.model import Sequential


def load(path) -> Sequential:
    """Read a model that `Sequential.save` wrote.

    Parameters
    ----------
    path : str or os.PathLike

    Returns
    -------
    Sequential

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is cut off or altered, not a model of fusednet, or written by a newer version.
    """
    tensors, document = io.read(path)
    if "members" in document:
        raise ValueError(f"load: {path} holds an ensemble; wanted one model (Ensemble.load reads it)")
    return from_content(tensors, document, path)


def from_content(tensors: dict, document: dict, path="the file") -> Sequential:
    """The model that `Sequential.content` gave; `path` is for messages."""
    network = contents.network(tensors, document, path)
    model = Sequential(network.layers, document["seed"], dtype=network.dtype, name=document["name"])
    if "optimizer" in document:
        model.compile(io.decode(document["optimizer"]), io.decode(document["loss"]), document["metrics"],
                      matmul_precision=document.get("matmul_precision"))
    model.build(network.features)
    contents.restore(model, tensors, document)
    return model
