"""Bad calls of affine, the activations, batch norm and dropout; see refused.py."""

import numpy as np
from refused import F32, Call, bad, locked, ones, overlapping, windows

from fusednet import ops

# ---- affine ----------------------------------------------------------------------------------------------------------

A = ops.affine
bad(A, "1-D x", ValueError, r"x has shape \(3,\); wanted 2 or more axes", ones(3), ones(3, 2))
bad(A, "0-D x", ValueError, r"x has shape \(\); wanted 2 or more axes", 1.0, ones(3, 2))
bad(A, "1-D w", ValueError, r"x has shape \(4, 3\) and w has shape \(3,\); wanted", ones(4, 3), ones(3))
bad(
    A,
    "x and w",
    ValueError,
    r"x has shape \(4, 3\) and w has shape \(2, 5\); wanted \(..., k\) and \(k, n\)",
    ones(4, 3),
    ones(2, 5),
    out=ones(4, 5),
)
bad(
    A,
    "x of more axes and w",
    ValueError,
    r"x has shape \(2, 4, 3\) and w has shape \(2, 5\)",
    ones(2, 4, 3),
    ones(2, 5),
)
bad(A, "w and b", ValueError, r"w has shape \(3, 5\) and b has shape \(3,\)", ones(4, 3), ones(3, 5), ones(3))
bad(A, "2-D b", ValueError, r"w has .* b has shape \(1, 5\)", ones(4, 3), ones(3, 5), ones(1, 5))
bad(
    A,
    "integer w",
    TypeError,
    r"w has dtype int64; wanted float32 or float64",
    ones(4, 3),
    ones(3, 2, dtype=int),
    out=ones(4, 2),
)
bad(A, "integer w in a list", TypeError, r"w has dtype int64", ones(1, 1), [[1]])
bad(A, "boolean w", TypeError, r"w has dtype bool", ones(1, 1), np.ones((1, 1), bool))
bad(A, "integer b", TypeError, r"b has dtype int8", ones(4, 3), ones(3, 2), ones(2, dtype=np.int8))
bad(
    A,
    "complex x",
    TypeError,
    r"x is an array of dtype complex128; wanted an array of real",
    ones(4, 3) * 1j,
    ones(3, 2),
)
bad(A, "x of text", TypeError, r"x is an array of dtype <U1; wanted an array of real", [["a"]], ones(1, 2))
bad(A, "x of objects", TypeError, r"x is an array of dtype object", np.array([[None]]), ones(1, 2))
bad(A, "x None", TypeError, r"x is None; wanted an array of real numbers", None, ones(1, 2))
bad(A, "w None", TypeError, r"w is None; wanted an array of real numbers", ones(1, 2), None)
bad(A, "x ragged", ValueError, r"x cannot be made an array", [[1.0], [1.0, 2.0]], ones(1, 2))
bad(A, "x masked", TypeError, r"x is a masked array; wanted one without", np.ma.ones((4, 3)), ones(3, 2))
bad(A, "x of dates", TypeError, r"x is an array of dtype datetime64", np.zeros((1, 1), "M8[s]"), ones(1, 2))
bad(
    A,
    "activation",
    ValueError,
    r"activation is 'rleu'; wanted one of 'linear', 'relu', .*or None for linear",
    ones(4, 3),
    ones(3, 2),
    None,
    "rleu",
    out=ones(4, 2),
)
bad(A, "activation unhashable", ValueError, r"activation is \[\]; wanted one of", ones(4, 3), ones(3, 2), None, [])
bad(
    A,
    "alpha of relu",
    ValueError,
    r"alpha is 0.1; wanted none, since activation is 'relu'",
    ones(4, 3),
    ones(3, 2),
    None,
    "relu",
    alpha=0.1,
)
bad(
    A,
    "alpha 0",
    ValueError,
    r"alpha is 0.0; wanted a number in \(0, inf\)",
    ones(4, 3),
    ones(3, 2),
    None,
    "elu",
    alpha=0,
)
bad(A, "alpha text", TypeError, r"alpha is '1'; wanted a number", ones(4, 3), ones(3, 2), None, "elu", alpha="1")
bad(A, "out list", TypeError, r"out is a list; wanted a NumPy array", ones(1, 3), ones(3, 1), out=[[0.0]])
bad(
    A,
    "out of another shape",
    ValueError,
    r"out has shape \(2, 4\); wanted \(4, 2\)",
    ones(4, 3),
    ones(3, 2),
    out=ones(2, 4),
)
bad(A, "out of another rank", ValueError, r"out has shape \(8,\); wanted \(4, 2\)", ones(4, 3), ones(3, 2), out=ones(8))
bad(
    A,
    "out of another dtype",
    TypeError,
    r"out has dtype float32; wanted float64",
    ones(4, 3),
    ones(3, 2),
    out=ones(4, 2, dtype=F32),
)
bad(
    A,
    "out wider than the result",
    TypeError,
    r"out has dtype float64; wanted float32",
    ones(4, 3, dtype=F32),
    ones(3, 2, dtype=F32),
    out=ones(4, 2),
)
bad(
    A,
    "integer out",
    TypeError,
    r"out has dtype int64; wanted float64",
    ones(4, 3),
    ones(3, 2),
    out=ones(4, 2, dtype=int),
)
bad(A, "read-only out", ValueError, r"out of shape \(4, 2\) is read-only", ones(4, 3), ones(3, 2), out=locked(4, 2))
bad(
    A,
    "out over itself",
    ValueError,
    r"out overlaps itself, strides \(8, 8\)",
    ones(4, 3),
    ones(3, 2),
    out=windows(4, 2),
)
bad(
    A,
    "too many outs",
    ValueError,
    r"out has 2 entries; wanted 1: y",
    ones(4, 3),
    ones(3, 2),
    out=(ones(4, 2), ones(4, 2)),
)
bad(
    A,
    "second out of another shape",
    ValueError,
    r"out\[1\] \(z\) has shape \(4, 3\); wanted \(4, 2\)",
    ones(4, 3),
    ones(3, 2),
    return_z=True,
    out=(ones(4, 2), ones(4, 3)),
)
bad(
    A,
    "one array for both outs",
    ValueError,
    r"out\[1\] \(z\) overlaps out\[0\] \(y\)",
    (lambda a: Call(ones(4, 3), ones(3, 2), return_z=True, out=(a, a)))(ones(4, 2)),
)
bad(
    A,
    "out is x",
    ValueError,
    r"out overlaps x; wanted memory of its own$",
    (lambda x: Call(x, ones(3, 3), out=x))(ones(4, 3)),
)
bad(
    A,
    "out is w",
    ValueError,
    r"out overlaps w; wanted memory of its own$",
    (lambda w: Call(ones(3, 3), w, out=w))(ones(3, 3)),
)
overlapping(A, "x", lambda x, out: Call(x, ones(3, 3), out=out))
bad(
    A,
    "out over x of another dtype",
    ValueError,
    r"out overlaps x",
    (lambda a: Call(a.view(F32)[:, :3], ones(3, 2), out=a))(ones(4, 2)),
)
bad(
    A,
    "b inside of out",
    ValueError,
    r"out overlaps b",
    (lambda a: Call(ones(4, 3), ones(3, 2), a[1], out=a))(ones(4, 2)),
)

# ---- affine_backward -------------------------------------------------------------------------------------------------

AB = ops.affine_backward
bad(
    AB,
    "dy",
    ValueError,
    r"dy has shape \(4, 3\) and x has shape \(4, 3\) and w has shape \(3, 2\)",
    ones(4, 3),
    ones(4, 3),
    ones(3, 2),
)
bad(AB, "rows", ValueError, r"dy has shape \(5, 2\) and x has shape \(4, 3\)", ones(5, 2), ones(4, 3), ones(3, 2))
bad(
    AB,
    "leading axes",
    ValueError,
    r"dy has shape \(4, 2\) and x has shape \(2, 2, 3\)",
    ones(4, 2),
    ones(2, 2, 3),
    ones(3, 2),
)
bad(AB, "1-D x", ValueError, r"x has shape \(3,\); wanted 2 or more axes", ones(2), ones(3), ones(3, 2))
bad(AB, "x and w", ValueError, r"x has shape \(4, 2\) and w has shape \(3, 2\)", ones(4, 2), ones(4, 2), ones(3, 2))
bad(AB, "integer w", TypeError, r"w has dtype int64", ones(4, 2), ones(4, 3), ones(3, 2, dtype=int))
bad(
    AB,
    "activation",
    ValueError,
    r"input_activation is 'softmax'; wanted one of",
    ones(4, 2),
    ones(4, 3),
    ones(3, 2),
    input_activation="softmax",
)
bad(
    AB,
    "swish without its input",
    ValueError,
    r"input_saved is None; wanted the input of swish",
    ones(4, 2),
    ones(4, 3),
    ones(3, 2),
    input_activation="swish",
)
bad(
    AB,
    "input_saved",
    ValueError,
    r"x has shape \(4, 3\) and input_saved has shape \(4, 2\); wanted the same",
    ones(4, 2),
    ones(4, 3),
    ones(3, 2),
    input_activation="gelu",
    input_saved=ones(4, 2),
)
bad(
    AB,
    "dw of another shape",
    ValueError,
    r"out\[1\] \(dw\) has shape \(2, 3\); wanted \(3, 2\)",
    ones(4, 2),
    ones(4, 3),
    ones(3, 2),
    out=(ones(4, 3), ones(2, 3), ones(2)),
)
bad(
    AB,
    "two outs",
    ValueError,
    r"out has 2 entries; wanted 3: dx, dw, db",
    ones(4, 2),
    ones(4, 3),
    ones(3, 2),
    out=(None, ones(3, 2)),
)
bad(
    AB,
    "out for no dx",
    ValueError,
    r"out is given, but dx is not asked for",
    ones(4, 2),
    ones(4, 3),
    ones(3, 2),
    need_dx=False,
    out=ones(4, 3),
)
bad(
    AB,
    "dx is x",
    ValueError,
    r"out overlaps x; wanted memory of its own$",
    (lambda x: Call(ones(4, 2), x, ones(3, 2), out=x))(ones(4, 3)),
)
bad(
    AB,
    "dw is w",
    ValueError,
    r"out\[1\] \(dw\) overlaps w",
    (lambda w: Call(ones(4, 2), ones(4, 3), w, out=(None, w, None)))(ones(3, 2)),
)
overlapping(AB, "dy", lambda dy, out: Call(dy, ones(4, 3), ones(3, 3), out=out))

# ---- activations -----------------------------------------------------------------------------------------------------

NAMES = ("linear", "relu", "leaky_relu", "elu", "selu", "sigmoid", "tanh", "swish", "softplus", "gelu")
for name in NAMES:
    f = getattr(ops, name)
    bad(f, "text", TypeError, r"x is an array of dtype <U1", ["a"])
    bad(f, "out of another shape", ValueError, r"out has shape \(3, 4\); wanted \(4, 3\)", ones(4, 3), out=ones(3, 4))
    bad(
        f,
        "out of another dtype",
        TypeError,
        r"out has dtype float32; wanted float64",
        ones(4, 3),
        out=ones(4, 3, dtype=F32),
    )
    bad(f, "read-only out", ValueError, r"out of shape \(4, 3\) is read-only", ones(4, 3), out=locked(4, 3))
    overlapping(f, "x", lambda x, out: Call(x, out=out), same=True)
    bad(
        f,
        "out is x transposed",
        ValueError,
        r"out overlaps x",
        (lambda x: Call(x, out=x.T))(np.arange(9.0).reshape(3, 3)),
    )
    if name == "linear":
        continue
    f = getattr(ops, f"{name}_backward")
    s = "x" if name in ("swish", "gelu") else "y"
    bad(
        f,
        "shapes",
        ValueError,
        rf"dy has shape \(4, 3\) and {s} has shape \(4, 1\); wanted the same",
        ones(4, 3),
        ones(4, 1),
    )
    bad(f, "complex", TypeError, rf"{s} is an array of dtype complex128", ones(4, 3), ones(4, 3) * 1j)
    overlapping(f, "dy", lambda dy, out: Call(dy, ones(4, 3), out=out), same=True)
    overlapping(f, s, lambda s, out: Call(ones(4, 3), s, out=out), same=True)
bad(ops.linear_backward, "text", TypeError, r"dy is an array of dtype <U1", ["a"])
for name in ("leaky_relu", "elu"):
    bad(
        getattr(ops, name),
        "alpha",
        ValueError,
        r"alpha is -1.0; wanted a number in \(0, inf\)",
        ones(2),
        -1.0,
        out=ones(2),
    )
    bad(getattr(ops, f"{name}_backward"), "alpha", ValueError, r"alpha is nan; wanted", ones(2), ones(2), np.nan)
for f, args in ((ops.gelu, 1), (ops.gelu_backward, 2)):
    bad(
        f,
        "approximate",
        ValueError,
        r"approximate is 'tan'; wanted False, True, 'none' or 'tanh'",
        *[ones(2)] * args,
        "tan",
    )

bad(ops.softmax, "no axis", ValueError, r"x has shape \(\); wanted 1 or more axes", 1.0)
bad(ops.softmax, "out", ValueError, r"out has shape \(3,\); wanted \(4, 3\)", ones(4, 3), out=ones(3))
overlapping(ops.softmax, "x", lambda x, out: Call(x, out=out), same=True)
bad(ops.softmax_backward, "shapes", ValueError, r"dy has shape \(4, 3\) and y has shape \(3,\)", ones(4, 3), ones(3))
bad(
    ops.softmax_backward,
    "out is y",
    ValueError,
    r"out overlaps y; wanted memory of its own$",
    (lambda y: Call(ones(4, 3), y, out=y))(ones(4, 3)),
)

# ---- batch norm ------------------------------------------------------------------------------------------------------

BN, BI, BB = ops.batch_norm, ops.batch_norm_inference, ops.batch_norm_backward


def forward(**more):
    return Call(ones(4, 3), ones(3), ones(3), **more)


def backward(**more):
    return Call(ones(4, 3), ones(4, 3), *[ones(3)] * 3, **more)


bad(BN, "1-D x", ValueError, r"x has shape \(4,\); wanted 2 or more axes", ones(4), ones(4), ones(4))
bad(
    BN,
    "gamma",
    ValueError,
    r"x has shape \(4, 3\) and gamma has shape \(4,\); wanted \(3,\)",
    ones(4, 3),
    ones(4),
    ones(3),
)
bad(BN, "beta", ValueError, r"x has shape \(4, 3\) and beta has shape \(1, 3\)", ones(4, 3), ones(3), ones(1, 3))
bad(
    BN,
    "gamma of an image",
    ValueError,
    r"x has shape \(4, 27\) and gamma has shape \(3,\)",
    ones(4, 3, 3, 3),
    ones(3),
    ones(3),
)
bad(BN, "integer gamma", TypeError, r"gamma has dtype int64", ones(4, 3), ones(3, dtype=int), ones(3))
bad(BN, "integer beta", TypeError, r"beta has dtype int64", ones(4, 3), ones(3), [0, 0, 0])
bad(
    BN,
    "epsilon",
    ValueError,
    r"epsilon is -0.001; wanted a number in \[0, inf\)",
    forward(epsilon=-1e-3, out=ones(4, 3)),
)
bad(BN, "momentum", ValueError, r"momentum is 1.5; wanted a number in \[0, 1\]", forward(momentum=1.5))
bad(BN, "activation", ValueError, r"activation is 'softmax'", forward(activation="softmax"))
bad(BN, "one running statistic", ValueError, r"running_var is None; wanted an array", forward(running_mean=ones(3)))
bad(
    BN,
    "the other running statistic",
    ValueError,
    r"running_mean is None; wanted an array",
    forward(running_var=ones(3)),
)
bad(BN, "running list", TypeError, r"running_mean is a list", forward(running_mean=[0.0] * 3, running_var=ones(3)))
bad(
    BN,
    "running shape",
    ValueError,
    r"running_var has shape \(4,\); wanted \(3,\)",
    forward(running_mean=ones(3), running_var=ones(4)),
)
bad(
    BN,
    "running dtype",
    TypeError,
    r"running_mean has dtype float32; wanted float64",
    forward(running_mean=ones(3, dtype=F32), running_var=ones(3)),
)
bad(
    BN,
    "running read-only",
    ValueError,
    r"running_var of shape \(3,\) is read-only",
    forward(running_mean=ones(3), running_var=locked(3)),
)
bad(
    BN,
    "running twice",
    ValueError,
    r"running_var overlaps running_mean",
    (lambda a: forward(running_mean=a, running_var=a))(ones(3)),
)
bad(
    BN,
    "running is gamma",
    ValueError,
    r"running_mean overlaps gamma",
    (lambda a: Call(ones(4, 3), a, ones(3), a, ones(3)))(ones(3)),
)
bad(
    BN,
    "unbiased of one row",
    ValueError,
    r"x has 1 row and unbiased is True",
    ones(1, 3),
    ones(3),
    ones(3),
    ones(3),
    ones(3),
    unbiased=True,
)
bad(
    BN,
    "out, running statistics fine",
    ValueError,
    r"out has shape \(3, 4\)",
    forward(running_mean=ones(3), running_var=ones(3), out=ones(3, 4)),
)
bad(
    BN,
    "mean is gamma",
    ValueError,
    r"out\[1\] \(mean\) overlaps gamma",
    (lambda g: Call(ones(4, 3), g, ones(3), out=(None, g, None)))(ones(3)),
)
bad(
    BN,
    "mean is running_mean",
    ValueError,
    r"out\[1\] \(mean\) overlaps running_mean",
    (lambda a: forward(running_mean=a, running_var=ones(3), out=(None, a, None)))(ones(3)),
)
overlapping(BN, "x", lambda x, out: Call(x, ones(3), ones(3), out=out), same=True)
bad(
    BI,
    "mean",
    ValueError,
    r"x has shape \(4, 3\) and mean has shape \(4,\)",
    ones(4, 3),
    ones(3),
    ones(3),
    ones(4),
    ones(3),
)
bad(BI, "integer var", TypeError, r"var has dtype int64", ones(4, 3), ones(3), ones(3), ones(3), [1, 1, 1])
bad(BI, "epsilon", TypeError, r"epsilon is None; wanted a number", ones(4, 3), *[ones(3)] * 4, epsilon=None)
bad(BI, "out", ValueError, r"out of shape \(4, 3\) is read-only", ones(4, 3), *[ones(3)] * 4, out=locked(4, 3))
bad(BB, "dy", ValueError, r"dy has shape \(3, 3\) and x has shape \(4, 3\)", ones(3, 3), ones(4, 3), *[ones(3)] * 3)
bad(
    BB,
    "gamma",
    ValueError,
    r"x has shape \(4, 3\) and gamma has shape \(4,\)",
    ones(4, 3),
    ones(4, 3),
    ones(4),
    ones(3),
    ones(3),
)
bad(BB, "saved missing", ValueError, r"saved is None; wanted the output of relu", backward(activation="relu"))
bad(BB, "saved of gelu missing", ValueError, r"saved is None; wanted the input of gelu", backward(activation="gelu"))
bad(BB, "saved", ValueError, r"dy has .* and saved has shape \(3, 4\)", backward(activation="relu", saved=ones(3, 4)))
bad(BB, "epsilon", ValueError, r"epsilon is inf; wanted", backward(epsilon=np.inf))
bad(BB, "dx is x", ValueError, r"out overlaps x", (lambda x: Call(ones(4, 3), x, *[ones(3)] * 3, out=x))(ones(4, 3)))

# ---- dropout ---------------------------------------------------------------------------------------------------------

for f, x in ((ops.dropout, "x"), (ops.dropout_backward, "dy")):
    bad(f, "negative rate", ValueError, r"rate is -0.1; wanted a number in \[0, 1\]", ones(3), -0.1, 1, out=ones(3))
    bad(f, "rate above 1", ValueError, r"rate is 1.5; wanted a number in \[0, 1\]", ones(3), 1.5, 1)
    bad(f, "rate nan", ValueError, r"rate is nan", ones(3), np.nan, 1)
    bad(f, "seed", TypeError, r"seed is 0.5; wanted an integer", ones(3), 0.5, 0.5)
    bad(f, "step", TypeError, r"step is '1'; wanted an integer", ones(3), 0.5, 1, "1")
    bad(f, "op too large", ValueError, r"op is 9223372036854775808; wanted an integer from", ones(3), 0.5, 1, 1, 2**63)
    bad(f, "scale", ValueError, r"scale is -1.0; wanted a number in \[0, inf\)", ones(3), 0.5, 1, scale=-1)
    bad(f, "text", TypeError, rf"{x} is an array of dtype <U1", ["a"], 0.5, 1)
    overlapping(f, x, lambda x, out: Call(x, 0.5, 1, out=out), same=True)
