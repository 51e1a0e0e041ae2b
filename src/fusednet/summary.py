"""What `Sequential.summary` prints, and the one line that a model is at the prompt.

Reads spec.py; the weights it asks the model for.

a) Before the number of features is known, a width is what the layer before it gives, as far as one is known.
"""

from fusednet.spec import BatchNormalization, Dense, Dropout, Flatten, Normalization


def line(model) -> str:
    """The model in one line: name, layers, weights."""
    count = len(model.layers)
    weights = f"{model.count_params():,} weights" if model.memory is not None else "no weights yet"
    return f"<{type(model).__name__} {model.name!r}: {count} layer{'s' * (count != 1)}, {weights}, {model.dtype}>"


def text(model) -> str:
    """Layers, shapes of their outputs, numbers of their weights, as a table."""
    known = model.memory is not None
    rows = [("Layer", "Output", "Weights", "")]
    width = model.network.features if known else None
    for layer in model.layers:
        weights = _weights(layer, width)
        width = getattr(layer, "units", width)
        rows.append((f"{layer.name} ({type(layer).__name__})", f"(rows, {'?' if width is None else width})",
                     "?" if weights is None else f"{weights:,}", _note(layer)))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [f"{model.name}: {model.network.features if known else '?'} features, {model.dtype}"]
    for i, (name, out, weights, note) in enumerate(rows):
        lines.append(f"  {name:{widths[0]}}  {out:{widths[1]}}  {weights:>{widths[2]}}  {note}".rstrip())
        if i == 0:
            lines.append("  " + "-" * (sum(widths[:3]) + 4))
    if known:
        total, running = model.count_params(), sum(a.size for a in model.memory.running.values())
        size = total * (4 if model.dtype == "float32" else 8)
        factors = model.rate_factors()
        still = sum(a.size for name, a in model.memory.parameters.items() if not factors[name.rsplit("/", 1)[0]])
        lines.append(f"{total:,} weights ({_bytes(size)}): {total - running - still:,} trainable, "
                     + (f"{still:,} not trained, " if still else "") + f"{running:,} running")
    else:
        lines.append("The number of weights is known with the first data, or after build(features).")
    return "\n".join(lines)


def _weights(layer, width: int | None) -> int | None:
    """Numbers of a layer, running statistics counted; None where its width is not known."""
    if not isinstance(layer, (BatchNormalization, Dense)):
        return 0
    if width is None:
        return None
    return 4 * width if isinstance(layer, BatchNormalization) else (width + layer.use_bias) * layer.units


def _note(layer) -> str:
    if isinstance(layer, Dropout):
        return f"rate {layer.rate:g}"
    if isinstance(layer, (Flatten, Normalization)):
        return ""
    activation = getattr(layer, "activation", None)
    return activation.kind if activation is not None and activation.kind != "linear" else ""


def _bytes(size: int) -> str:
    for unit in ("bytes", "KB", "MB"):
        if size < 999.5:  # else three digits would say 1e+03
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
