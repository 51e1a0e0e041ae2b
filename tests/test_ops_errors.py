"""Bad input at fusednet.ops: each is refused with a message that says what was given and wanted, and writes nothing.

Reads refused.py, where bad_layers.py and bad_training.py put their calls.
"""

import re

import bad_layers  # noqa: F401
import numpy as np
import pytest
from bad_training import STEPS, step
from refused import BAD, ones

from fusednet import ops

pytestmark = pytest.mark.usefixtures("table")


@pytest.mark.parametrize("function, error, message, call", BAD)
def test_refused(function, error, message, call):
    before = [a.tobytes() for a in call.arrays()]
    with pytest.raises(error) as caught:
        function(*call.args, **call.options)
    assert type(caught.value) is error
    assert re.match(f"{function.__name__}: {message}", str(caught.value)), str(caught.value)
    assert [a.tobytes() for a in call.arrays()] == before, "something was written"


def test_every_function_refuses_something():
    there = {getattr(ops, name).__name__ for name in ops.__all__}
    tested = {parameter.values[0].__name__ for parameter in BAD}
    assert there - tested == {"global_norm"}  # which says sum_of_squares: the array at fault is one of its list


def test_what_is_refused_is_only_what_is_wrong():
    # the calls around those of BAD, with nothing wrong
    ops.affine(ones(4, 3), ones(3, 5), ones(5), out=ones(4, 5))
    ops.batch_norm(ones(4, 3), ones(3), ones(3), ones(3), ones(3), out=ones(4, 3))
    ops.softmax_cross_entropy(ones(4, 3), [0, 1, 2, 0], ones(4), out=ones(4, 3))
    for f in STEPS:
        call = step(f, l2=0.1) if f is not ops.adamw_step else step(f)
        f(*call.args, **call.options)
    ops.take_rows(ones(4, 3), [0, 3], shift=ones(3), out=ones(2, 3))


def test_masked_outputs_are_refused_and_keep_their_masks():
    out = np.ma.array(np.zeros(3, np.float32), mask=[1, 0, 0])
    with pytest.raises(TypeError, match="out is a masked array; wanted one without a mask"):
        ops.relu(np.ones(3, np.float32), out=out)
    with pytest.raises(TypeError, match="is a masked array"):
        ops.sgd_step(out, np.ones(3, np.float32), 0.1)
    assert out.mask.tolist() == [True, False, False] and not out.data.any()


@pytest.mark.parametrize("op", [-1, 1 << 16])
def test_ops_of_dropout_are_within_their_bits(op):
    for function in (ops.dropout, ops.dropout_backward):
        with pytest.raises(ValueError, match=f"op is {op}; wanted 0 to 65535"):
            function(np.ones(3), 0.5, 1, 0, op)
