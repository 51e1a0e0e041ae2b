"""Bad calls of the losses, the metrics, the optimizer steps and take_rows; see refused.py."""

import numpy as np
from refused import F32, Call, bad, locked, ones, overlapping, shifted, windows

from fusednet import ops

# ---- losses ----------------------------------------------------------------------------------------------------------

XE = ops.softmax_cross_entropy
bad(XE, "1-D logits", ValueError, r"logits has shape \(3,\); wanted 2 or more axes", ones(3), 1)
bad(
    XE,
    "label too large",
    ValueError,
    r"labels\[2\] is 3; wanted 0 <= labels < 3 \(there are 3 classes\)",
    ones(4, 3),
    [0, 2, 3, 9],
    out=ones(4, 3),
)
bad(
    XE,
    "label negative",
    ValueError,
    r"labels\[0\] is -1; wanted 0 <= labels < 3",
    ones(4, 3),
    np.array([-1, 0, 0, 0], np.int8),
    out=ones(4, 3),
)
bad(
    XE,
    "label enormous",
    ValueError,
    rf"labels\[1\] is {2**64 - 1};",
    ones(4, 3),
    np.array([0, 2**64 - 1, 0, 0], np.uint64),
    out=ones(4, 3),
)
bad(XE, "label of more axes", ValueError, r"labels\[1, 0\] is 5;", ones(2, 2, 3), [[0, 1], [5, 0]])
bad(XE, "label of none", ValueError, r"labels\[0\] is 0; .*there are 0 classes", ones(4, 0), [0] * 4)
bad(
    XE,
    "too few labels",
    ValueError,
    r"labels have shape \(3,\); wanted \(4,\), or rows of targets, \(4, 3\)",
    ones(4, 3),
    [0] * 3,
)
bad(
    XE,
    "floating labels",
    TypeError,
    r"labels of shape \(4,\) have dtype float64; wanted integers, or rows of targets, \(4, 3\)",
    ones(4, 3),
    ones(4),
)
bad(
    XE,
    "a column of labels",
    ValueError,
    r"logits has shape \(4, 3\) and labels has shape \(4, 1\); wanted the same",
    ones(4, 3),
    np.zeros((4, 1), int),
)
bad(XE, "targets", ValueError, r"logits has shape \(4, 3\) and labels has shape \(4, 2\)", ones(4, 3), ones(4, 2))
bad(XE, "labels of text", TypeError, r"labels is an array of dtype <U1", ones(1, 3), ["a"])
bad(XE, "label None", TypeError, r"labels is None", ones(1, 3), None)
bad(
    XE,
    "smoothing",
    ValueError,
    r"label_smoothing is 1.1; wanted a number in \[0, 1\]",
    ones(4, 3),
    [0] * 4,
    label_smoothing=1.1,
)
bad(
    XE,
    "weights",
    ValueError,
    r"logits has shape \(4, 3\) and weights has shape \(3,\); wanted \(4,\) for weights",
    ones(4, 3),
    [0] * 4,
    ones(3),
)
bad(XE, "column of weights", ValueError, r"logits has .* weights has shape \(4, 1\)", ones(4, 3), [0] * 4, ones(4, 1))
bad(
    XE,
    "weights of 0",
    ValueError,
    r"weights sum to 0.0; wanted a finite sum above 0",
    ones(4, 3),
    [0] * 4,
    np.zeros(4),
    out=ones(4, 3),
)
bad(XE, "weights nan", ValueError, r"weights sum to nan", ones(4, 3), [0] * 4, [1, 1, 1, np.nan])
bad(XE, "no rows", ValueError, r"there are 0 rows; wanted 1 or more", ones(0, 3), [])
bad(
    XE,
    "reduction",
    ValueError,
    r"reduction is 'avg'; wanted 'mean', 'sum', 'none' or",
    ones(4, 3),
    [0] * 4,
    reduction="avg",
)
bad(
    XE,
    "out for no gradient",
    ValueError,
    r"out is given, but gradient is not asked for",
    ones(4, 3),
    [0] * 4,
    gradient=False,
    out=ones(4, 3),
)
bad(XE, "out", TypeError, r"out has dtype float64; wanted float32", ones(4, 3, dtype=F32), [0] * 4, out=ones(4, 3))
overlapping(XE, "logits", lambda z, out: Call(z, [0] * 4, out=out), same=True)
bad(
    XE,
    "out is the targets",
    ValueError,
    r"out overlaps labels; wanted memory of its own$",
    (lambda t: Call(ones(4, 3), t, out=t))(ones(4, 3)),
)
bad(
    XE,
    "out over weights",
    ValueError,
    r"out overlaps weights",
    (lambda a: Call(ones(4, 3), [0] * 4, a[:, 0], out=a))(ones(4, 3)),
)

PAIRS = [
    (ops.sigmoid_cross_entropy, "logits"),
    (ops.squared_error, "predictions"),
    (ops.absolute_error, "predictions"),
    (ops.huber, "predictions"),
    (ops.pinball_loss, "predictions"),
    (ops.poisson_loss, "predictions"),
]
for f, z in PAIRS:
    bad(
        f,
        "no stretching",
        ValueError,
        rf"{z} has shape \(4, 1\) and targets has shape \(4,\); wanted the same",
        ones(4, 1),
        ones(4),
        out=ones(4, 1),
    )
    bad(f, "no axis", ValueError, rf"{z} has shape \(\)", 1.0, 1.0)
    bad(
        f,
        "weights",
        ValueError,
        rf"{z} has .* weights has shape \(4, 3\); wanted \(4,\) for weights",
        ones(4, 3),
        ones(4, 3),
        ones(4, 3),
    )
    bad(f, "factor", ValueError, r"factor is -1.0; wanted a number in \[0, inf\)", ones(4, 3), ones(4, 3), factor=-1)
    bad(f, "reduction", ValueError, r"reduction is None; wanted", ones(4, 3), ones(4, 3), reduction=None)
    bad(f, "targets of text", TypeError, r"targets is an array of dtype <U1", ones(1), ["a"])
    bad(f, "no rows", ValueError, r"there are 0 rows", ones(0, 3), ones(0, 3))
    bad(f, "weights of 0", ValueError, r"weights sum to 0.0", ones(2, 3), ones(2, 3), [1, -1], out=ones(2, 3))
    overlapping(f, z, lambda z, out: Call(z, ones(4, 3), out=out), same=True)
    bad(
        f,
        "out is the targets",
        ValueError,
        r"out overlaps targets; wanted memory of its own$",
        (lambda t: Call(ones(4, 3), t, out=t))(ones(4, 3)),
    )
bad(
    ops.sigmoid_cross_entropy,
    "smoothing",
    ValueError,
    r"label_smoothing is -0.1",
    ones(4),
    ones(4),
    label_smoothing=-0.1,
)
bad(ops.huber, "delta", ValueError, r"delta is 0.0; wanted a number in \(0, inf\)", ones(4), ones(4), delta=0)
bad(ops.poisson_loss, "deviance below 0", ValueError, r"targets has -1.0; wanted at least 0 where deviance is True$",
    ones(3), np.array([2.0, -1.0, 0.0]), deviance=True)
bad(ops.pinball_loss, "quantile", ValueError, r"quantile is 1.5; wanted a number in \[0, 1\]", ones(4), ones(4),
    quantile=1.5)

# ---- metrics ---------------------------------------------------------------------------------------------------------

for f in (ops.count_correct, ops.accuracy):
    bad(f, "1-D scores", ValueError, r"scores has shape \(3,\); wanted 2 or more axes", ones(3), 1)
    bad(f, "label", ValueError, r"labels\[1\] is 3; wanted 0 <= labels < 3", ones(2, 3), [0, 3])
    bad(f, "floating labels", TypeError, r"labels of shape \(2,\) have dtype float64", ones(2, 3), ones(2))
    bad(f, "targets", ValueError, r"scores has shape \(2, 3\) and labels has shape \(3, 2\)", ones(2, 3), ones(3, 2))
    bad(f, "weights", ValueError, r"weights have shape \(3,\); wanted \(2,\)", ones(2, 3), [0, 1], ones(3))
bad(ops.accuracy, "no rows", ValueError, r"there are 0 rows", ones(0, 3), [])
bad(ops.accuracy, "weights of 0", ValueError, r"weights sum to 0.0", ones(2, 3), [0, 1], [0, 0])
bad(
    ops.binary_accuracy,
    "shapes",
    ValueError,
    r"scores has shape \(4, 1\) and targets has shape \(4,\)",
    ones(4, 1),
    ones(4),
)
bad(ops.binary_accuracy, "threshold", ValueError, r"threshold is nan", ones(4), ones(4), threshold=np.nan)
bad(ops.binary_accuracy, "no rows", ValueError, r"there are 0 rows", [], [])

# ---- optimizer steps -------------------------------------------------------------------------------------------------

STEPS = {
    ops.sgd_step: ("p", "g"),
    ops.momentum_step: ("p", "v", "g"),
    ops.nesterov_step: ("p", "v", "g"),
    ops.adagrad_step: ("p", "v", "g"),
    ops.rmsprop_step: ("p", "v", "g"),
    ops.adam_step: ("p", "m", "v", "g"),
    ops.adamw_step: ("p", "m", "v", "g"),
}


def step(f, change=None, **options):
    """A call of a step with arrays of (4, 3), `change` in place of some."""
    arrays = {name: ones(4, 3) for name in STEPS[f]} | (change or {})
    numbers = {"step": 1} if "m" in arrays else {}
    return Call(*arrays.values(), **{**numbers, "lr": 0.1, **options})


def together(f, one, other, by):
    a, b = shifted(4, 3, by) if by else (ones(4, 3),) * 2
    return step(f, {one: a, other: b[...] if by else b})


for f, names in STEPS.items():
    changed = names[:-1]
    bad(f, "lr", ValueError, r"lr is -0.1; wanted a number in \[0, inf\)", step(f, lr=-0.1))
    bad(f, "lr enormous", ValueError, r"lr is inf; wanted a number in \[0, inf\)", step(f, lr=10**400))
    bad(f, "lr nan", ValueError, r"lr is nan", step(f, lr=float("nan")))
    bad(f, "lr text", TypeError, r"lr is '0.1'; wanted a number", step(f, lr="0.1"))
    bad(f, "weight decay", ValueError, r"weight_decay is -1.0", step(f, weight_decay=-1))
    bad(f, "clip value", ValueError, r"clip_value is 0.0; wanted a number in \(0, inf\]", step(f, clip_value=0))
    bad(
        f,
        "gradient scale",
        ValueError,
        r"grad_scale is inf; wanted a number in \(-inf, inf\)",
        step(f, grad_scale=np.inf),
    )
    if f is not ops.adamw_step:
        bad(f, "l2", ValueError, r"l2 is -0.5; wanted a number in \[0, inf\)", step(f, l2=-0.5))
    bad(f, "g", ValueError, r"g has shape \(3, 4\); wanted \(4, 3\), that of p", step(f, {"g": ones(3, 4)}))
    bad(f, "g of text", TypeError, r"g is an array of dtype <U1", step(f, {"g": ["a"]}))
    bad(
        f,
        "integer p",
        TypeError,
        r"p has dtype int64; wanted float32 or float64",
        step(f, {"p": ones(4, 3, dtype=int)}),
    )
    bad(
        f,
        "half p",
        TypeError,
        r"p has dtype float16; wanted float32 or float64",
        step(f, {"p": ones(4, 3, dtype=np.float16)}),
    )
    bad(f, "list p", TypeError, r"p is a list; wanted a NumPy array, to be written to", step(f, {"p": [[1.0]]}))
    for name in changed:
        bad(
            f, f"read-only {name}", ValueError, rf"{name} of shape \(4, 3\) is read-only", step(f, {name: locked(4, 3)})
        )
        bad(f, f"{name} over itself", ValueError, rf"{name} overlaps itself", step(f, {name: windows(4, 3)}))
        if name != "p":
            bad(
                f,
                f"shape of {name}",
                ValueError,
                rf"{name} has shape \(12,\); wanted \(4, 3\)",
                step(f, {name: ones(12)}),
            )
            bad(
                f,
                f"dtype of {name}",
                TypeError,
                rf"{name} has dtype float32; wanted float64",
                step(f, {name: ones(4, 3, dtype=F32)}),
            )
        for other in (*names[: names.index(name)], "g"):
            pattern = rf"{name} overlaps {other}; wanted memory of its own"
            for by in (0, 1):
                bad(f, f"{name} and {other} by {by}", ValueError, pattern, together(f, name, other, by))
for f in (ops.momentum_step, ops.nesterov_step):
    bad(f, "momentum", ValueError, r"momentum is 1.1; wanted a number in \[0, 1\]", step(f, momentum=1.1))
for f in (ops.adagrad_step, ops.rmsprop_step, ops.adam_step, ops.adamw_step):
    bad(f, "epsilon", ValueError, r"epsilon is -1e-07; wanted a number in \[0, inf\)", step(f, epsilon=-1e-7))
bad(ops.rmsprop_step, "rho", ValueError, r"rho is -0.1; wanted", step(ops.rmsprop_step, rho=-0.1))
for f in (ops.adam_step, ops.adamw_step):
    bad(f, "step 0", ValueError, r"step is 0; wanted an integer from 1", step(f, step=0))
    bad(f, "step a float", TypeError, r"step is 1.0; wanted an integer", step(f, step=1.0))
    bad(f, "beta1", ValueError, r"beta1 is 1.0; wanted a number in \[0, 1\)", step(f, beta1=1.0))
    bad(f, "beta2", ValueError, r"beta2 is -0.5; wanted a number in \[0, 1\)", step(f, beta2=-0.5))

bad(ops.sum_of_squares, "text", TypeError, r"x is an array of dtype <U1", ["a"])

# ---- rows ------------------------------------------------------------------------------------------------------------

TR = ops.take_rows
bad(TR, "no axis", ValueError, r"x has shape \(\); wanted 1 or more axes", 1.0)
bad(
    TR,
    "index too large",
    ValueError,
    r"index\[1\] is 4; wanted 0 <= index < 4 \(there are 4 rows\)",
    ones(4, 3),
    [0, 4],
    out=ones(2, 3),
)
bad(TR, "index negative", ValueError, r"index\[0\] is -1; wanted 0 <= index < 4", ones(4, 3), [-1, 2], out=ones(2, 3))
bad(TR, "index enormous", ValueError, rf"index\[0\] is {2**63}", ones(4, 3), np.array([2**63], np.uint64))
bad(TR, "2-D index", ValueError, r"index has shape \(1, 2\); wanted 1 axis", ones(4, 3), [[0, 1]])
bad(TR, "floating index", TypeError, r"index has dtype float64; wanted integers", ones(4, 3), [0.0, 1.0])
bad(TR, "boolean index", TypeError, r"index has dtype bool; wanted integers", ones(4, 3), [True, False, True, False])
bad(
    TR,
    "shift",
    ValueError,
    r"x has shape \(4, 3\) and shift has shape \(4,\); wanted a number or \(3,\)",
    ones(4, 3),
    shift=ones(4),
)
bad(TR, "scale", ValueError, r"x has shape \(4, 3\) and scale has shape \(1, 3\)", ones(4, 3), scale=ones(1, 3))
bad(TR, "scale of text", TypeError, r"scale is 'a'", ones(4, 3), scale="a")
bad(TR, "dtype", TypeError, r"dtype is int32; wanted float32 or float64", ones(4, 3), dtype=np.int32)
bad(TR, "complex x", TypeError, r"x is an array of dtype complex128", ones(4, 3) * 1j)
bad(TR, "out", ValueError, r"out has shape \(3, 3\); wanted \(2, 3\)", ones(4, 3), [0, 1], out=ones(3, 3))
bad(
    TR,
    "out is x",
    ValueError,
    r"out overlaps x; wanted memory of its own$",
    (lambda x: Call(x, [3, 2, 1, 0], out=x))(ones(4, 3)),
)
