"""The products of an affine layer.

Uses base.py and activation.py.

a) The innermost loop is written in LLVM's vectors (`_tile`): a tile of c stays in registers over all terms. A loop nest
   left to the vectoriser loads and stores c at every step and reaches half of that.
b) An element of c is one sum in the order of its terms, whatever tile it falls into: blocking, edges and threads do not
   show in the bits.
c) Bias and activation are a second pass over the part's share of y. One product then serves all three kernels, which
   halves what is compiled.
"""

import llvmlite.binding
import llvmlite.ir as ir
import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fusednet.backends.jit_numba.activation import activate, derive
from fusednet.backends.jit_numba.base import PRODUCT, at, copy, helper, kernel, row_of, split

_VECTOR = 64 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 32  # bytes
_ROWS = 8 if _VECTOR == 64 else 4  # rows and vectors of a tile: 16 sums of 32 registers, or 8 of 16
_VECTORS = 2
_DEPTH, _HEIGHT = 256, 512  # terms of a sum, and rows, that are worked on at a time: a panel of b fits in L1, a in L2


@intrinsic(prefer_literal=True)
def _tile(context, rows, like, first, c, ld_c, a, ld_a, step_a, b, ld_b, terms, resume):
    """c[first + r, :] = sum of a[first + r, p] b[p, :] over p < terms, for r < rows; from c where `resume` says so.

    c and b are addresses of _VECTORS vectors to a row, a of anything; ld_ and step_ are in bytes. Every sum stays in
    one lane of a register and is added in the order of p, so its bits depend on nothing but the terms.
    """
    if not isinstance(rows, types.IntegerLiteral):
        return None
    count, bits = rows.literal_value, like.dtype.bitwidth

    def emit(context, builder, signature, args):
        first, c, ld_c, a, ld_a, step_a, b, ld_b, terms, resume = args[2:]
        real, lanes = context.get_value_type(like.dtype), _VECTOR * 8 // bits
        vector = ir.VectorType(real, lanes)
        muladd_type = ir.FunctionType(vector, [vector] * 3)
        muladd = cgutils.get_or_insert_function(builder.module, muladd_type, f"llvm.fmuladd.v{lanes}f{bits}")
        nothing, lane_0 = ir.Constant(vector, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), lanes), None)

        def pointer(base, offset, kind):
            return builder.bitcast(builder.gep(base, [offset]), kind.as_pointer())

        def load(base, offset, kind):
            return builder.load(pointer(base, offset, kind), align=bits // 8)

        def number(value):
            return ir.Constant(first.type, value)

        each = [(r, v) for r in range(count) for v in range(_VECTORS)]
        lines = [builder.add(first, number(r)) for r in range(count)]
        places = [builder.add(builder.mul(ld_c, lines[r]), number(v * _VECTOR)) for r, v in each]
        row_starts = [builder.mul(ld_a, line) for line in lines]
        sums = [cgutils.alloca_once(builder, vector) for _ in each]
        with builder.if_else(resume) as (go_on, begin):
            with go_on:
                for total, place in zip(sums, places, strict=True):
                    builder.store(load(c, place, vector), total)
            with begin:
                for total in sums:
                    builder.store(ir.Constant(vector, None), total)
        with cgutils.for_range(builder, terms) as loop:
            b_row, a_column = builder.mul(loop.index, ld_b), builder.mul(loop.index, step_a)
            factors = [load(b, builder.add(b_row, number(v * _VECTOR)), vector) for v in range(_VECTORS)]
            for r in range(count):
                scalar = load(a, builder.add(a_column, row_starts[r]), real)
                scalar = builder.insert_element(nothing, scalar, ir.IntType(32)(0))
                spread = builder.shuffle_vector(scalar, nothing, lane_0)
                for v in range(_VECTORS):
                    total = sums[r * _VECTORS + v]
                    builder.store(builder.call(muladd, [spread, factors[v], builder.load(total)]), total)
        for total, place in zip(sums, places, strict=True):
            builder.store(builder.load(total), pointer(c, place, vector), align=bits // 8)
        return context.get_dummy_value()

    size, address = types.intp, types.voidptr
    return types.none(
        rows, like, size, address, size, address, size, size, address, size, size, types.boolean
    ), emit


@helper
def _pack(panel, b, p, j, terms, columns):
    """panel = b[p : p + terms, j : j + columns], filled up with zeros."""
    if b.strides[1] == b.itemsize:
        for q in range(terms):
            copy(panel[q, :columns], row_of(b, p + q)[j : j + columns])
    else:
        for i in range(columns):
            column = row_of(b.T, j + i)[p : p + terms]
            for q in range(terms):
                panel[q, i] = column[q]
    if columns < panel.shape[1]:
        panel[:terms, columns:] = 0


@helper
def _product(c, a, b):
    """c = a b. c has rows of contiguous elements; a and b, rows or columns of them."""
    m, n = c.shape
    k = a.shape[1]
    width = _VECTORS * _VECTOR // c.itemsize
    height = min(m, _HEIGHT)
    panel = np.empty((min(max(k, 1), _DEPTH), width), c.dtype)
    side = np.empty((height if n % width else 0, width), c.dtype)  # the last columns, where a whole tile does not fit
    lie_in_rows = b.strides[1] == b.itemsize
    for i in range(0, m, _HEIGHT):
        rows = min(_HEIGHT, m - i)
        whole = rows // _ROWS * _ROWS
        for j in range(0, n, width):
            columns = min(width, n - j)
            out, ld_out = at(c, i, j), c.strides[0]
            if columns < width:
                out, ld_out = at(side, 0, 0), side.strides[0]
            for p in range(0, max(k, 1), _DEPTH):
                terms = min(_DEPTH, k - p)
                from_a, ld_a, step_a = at(a, i, p), a.strides[0], a.strides[1]
                from_b, ld_b = at(b, p, j), b.strides[0]
                if columns < width or not lie_in_rows or rows > 128:
                    _pack(panel, b, p, j, terms, columns)
                    from_b, ld_b = at(panel, 0, 0), panel.strides[0]
                for r in range(0, whole, _ROWS):
                    _tile(_ROWS, c, r, out, ld_out, from_a, ld_a, step_a, from_b, ld_b, terms, p > 0)
                r = whole
                if rows - r >= 4:
                    _tile(4, c, r, out, ld_out, from_a, ld_a, step_a, from_b, ld_b, terms, p > 0)
                    r += 4
                if rows - r >= 2:
                    _tile(2, c, r, out, ld_out, from_a, ld_a, step_a, from_b, ld_b, terms, p > 0)
                    r += 2
                if rows > r:
                    _tile(1, c, r, out, ld_out, from_a, ld_a, step_a, from_b, ld_b, terms, p > 0)
            if columns < width:
                for r in range(rows):
                    copy(row_of(c, i + r)[j : j + columns], side[r, :columns])


@helper
def _region(c, part, parts):
    """Rows and columns of c that are this part's: shares of the longer side, in whole tiles."""
    m, n = c.shape
    width = _VECTORS * _VECTOR // c.itemsize
    if m * width >= n * _ROWS:
        begin, end = split(m, _ROWS, part, parts)
        return begin, end, 0, n
    begin, end = split(n, width, part, parts)
    return 0, m, begin, end


@kernel(PRODUCT)
def affine_fwd(y, z, x, w, b, kind, alpha, part, parts):
    top, bottom, left, right = _region(y, part, parts)
    _product(y[top:bottom, left:right], x[top:bottom], w[:, left:right])
    for i in range(top, bottom):
        row = row_of(y, i)[left:right]
        if b.size:
            bias = b[left:right]
            for j in range(row.size):
                row[j] += bias[j]
        if z.size:
            copy(row_of(z, i)[left:right], row)
        activate(row, kind, alpha)


@kernel(PRODUCT)
def affine_bwd_dx(dx, dy, w, s, kind, alpha, part, parts):
    top, bottom, left, right = _region(dx, part, parts)
    _product(dx[top:bottom, left:right], dy[top:bottom], w.T[:, left:right])
    if s.size:
        for i in range(top, bottom):
            derive(row_of(dx, i)[left:right], row_of(s, i)[left:right], kind, alpha)


@kernel(PRODUCT)
def affine_bwd_dw(dw, db, x, dy, part, parts):
    top, bottom, left, right = _region(dw, part, parts)
    _product(dw[top:bottom, left:right], x.T[top:bottom], dy[:, left:right])
    if db.size:
        begin, end = split(db.size, 16, part, parts)
        total = np.zeros(end - begin)
        for i in range(dy.shape[0]):
            row = row_of(dy, i)[begin:end]
            for j in range(total.size):
                total[j] += row[j]
        copy(db[begin:end], total)
