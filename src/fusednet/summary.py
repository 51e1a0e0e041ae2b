"""What `Sequential.summary` prints.

Reads spec.py and params.py through the model.
"""

from fusednet.spec import Dropout, Flatten, Normalization


def text(model) -> str:
    """Layers, shapes of their outputs, numbers of their weights, as a table."""
    known = model.memory is not None
    rows = [("Layer", "Output", "Weights", "")]
    total = 0
    for layer, width in zip(model.layers, model.network.widths if known else [None] * len(model.layers), strict=True):
        weights = 0
        if known:
            arrays = {**model.memory.parameters, **model.memory.running}
            weights = sum(a.size for name, a in arrays.items() if name.rsplit("/", 1)[0] == layer.name)
        total += weights
        out = getattr(layer, "units", width)
        rows.append((f"{layer.name} ({type(layer).__name__})", f"(rows, {'?' if out is None else out})",
                     f"{weights:,}" if known else "?", _note(layer)))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [f"{model.name}: {model.network.features if known else '?'} features, {model.dtype}"]
    for i, (name, out, weights, note) in enumerate(rows):
        lines.append(f"  {name:{widths[0]}}  {out:{widths[1]}}  {weights:>{widths[2]}}  {note}".rstrip())
        if i == 0:
            lines.append("  " + "-" * (sum(widths[:3]) + 4))
    running = sum(a.size for a in model.memory.running.values()) if known else 0
    if known:
        size = total * (4 if model.dtype == "float32" else 8)
        lines.append(f"{total:,} weights ({_bytes(size)}): {total - running:,} trainable, {running:,} running")
    else:
        lines.append("The number of weights is known with the first data, or after build(features).")
    return "\n".join(lines)


def _note(layer) -> str:
    if isinstance(layer, Dropout):
        return f"rate {layer.rate:g}"
    if isinstance(layer, (Flatten, Normalization)):
        return ""
    activation = getattr(layer, "activation", None)
    return activation.kind if activation is not None and activation.kind != "linear" else ""


def _bytes(size: int) -> str:
    for unit in ("bytes", "KB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
