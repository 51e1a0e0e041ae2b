"""The products of an affine layer.

Uses base.py and activation.py.

a) The innermost loop is in LLVM's vectors (`_tiles`): a tile of c stays in registers over all terms. A loop nest
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
_ROWS = 8 if _VECTOR == 64 else 4  # rows and vectors of a tile: 16 sums in 32 registers, or 8 in 16
_VECTORS = 2
_DEPTH, _HEIGHT = 256, 512  # terms of a sum, and rows, that are worked on at a time: a panel of b fits in L1, a in L2


@intrinsic(prefer_literal=True)
def _tiles(context, vectors, like, c, ld_c, a, ld_a, step_a, b, ld_b, rows, terms, resume):
    """c[i, :] = sum of a[i, p] b[p, :] over p < terms, for i < rows; added to c where `resume` says so.

    c and b are addresses of rows of `vectors` vectors, a of numbers; ld_ and step_ are in bytes. A sum stays in one
    lane of a register and is added in the order of p, so its bits depend on nothing but the terms.
    """
    if not isinstance(vectors, types.IntegerLiteral):
        return None
    columns, bits = range(vectors.literal_value), like.dtype.bitwidth

    def emit(context, builder, signature, args):
        c, ld_c, a, ld_a, step_a, b, ld_b, rows, terms, resume = args[2:]
        real, lanes = context.get_value_type(like.dtype), _VECTOR * 8 // bits
        vector = ir.VectorType(real, lanes)
        muladd_type = ir.FunctionType(vector, [vector] * 3)
        muladd = cgutils.get_or_insert_function(builder.module, muladd_type, f"llvm.fmuladd.v{lanes}f{bits}")
        undefined, lane_0 = ir.Constant(vector, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), lanes), None)

        def number(value):
            return ir.Constant(rows.type, value)

        def pointer(base, offset, kind):
            return builder.bitcast(builder.gep(base, [offset]), kind.as_pointer())

        def load(base, offset, kind):
            return builder.load(pointer(base, offset, kind), align=bits // 8)

        def tile(count, first):
            lines = [builder.add(first, number(r)) for r in range(count)]
            starts = [builder.mul(ld_a, line) for line in lines]
            places = [builder.add(builder.mul(ld_c, line), number(v * _VECTOR)) for line in lines for v in columns]
            sums = [cgutils.alloca_once(builder, vector) for _ in places]
            with builder.if_else(resume) as (go_on, begin):
                with go_on:
                    for total, place in zip(sums, places, strict=True):
                        builder.store(load(c, place, vector), total)
                with begin:
                    for total in sums:
                        builder.store(ir.Constant(vector, None), total)
            with cgutils.for_range(builder, terms) as loop:
                b_row, a_column = builder.mul(loop.index, ld_b), builder.mul(loop.index, step_a)
                factors = [load(b, builder.add(b_row, number(v * _VECTOR)), vector) for v in columns]
                for r in range(count):
                    scalar = load(a, builder.add(a_column, starts[r]), real)
                    scalar = builder.insert_element(undefined, scalar, ir.IntType(32)(0))
                    spread = builder.shuffle_vector(scalar, undefined, lane_0)
                    for v in columns:
                        total = sums[r * len(columns) + v]
                        builder.store(builder.call(muladd, [spread, factors[v], builder.load(total)]), total)
            for total, place in zip(sums, places, strict=True):
                builder.store(builder.load(total), pointer(c, place, vector), align=bits // 8)

        with cgutils.for_range(builder, builder.sdiv(rows, number(_ROWS))) as loop:
            tile(_ROWS, builder.mul(loop.index, number(_ROWS)))
        count = _ROWS // 2
        while count:  # the last rows: _ROWS - 1 of them in binary
            with builder.if_then(builder.icmp_signed("!=", builder.and_(rows, number(count)), number(0))):
                tile(count, builder.and_(rows, number(-2 * count)))
            count //= 2
        return context.get_dummy_value()

    size, address = types.intp, types.voidptr
    return types.none(
        vectors, like, address, size, address, size, size, address, size, size, size, types.boolean
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
                if columns * _VECTORS > width:
                    _tiles(_VECTORS, c, out, ld_out, from_a, ld_a, step_a, from_b, ld_b, rows, terms, p > 0)
                else:
                    _tiles(1, c, out, ld_out, from_a, ld_a, step_a, from_b, ld_b, rows, terms, p > 0)
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
def affine_fwd(y, z, x, w, b, kind, alpha, precision, part, parts):
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
def affine_bwd_dx(dx, dy, w, s, kind, alpha, scale, precision, part, parts):
    top, bottom, left, right = _region(dx, part, parts)
    _product(dx[top:bottom, left:right], dy[top:bottom], w.T[:, left:right])
    if s.size:
        for i in range(top, bottom):
            derive(row_of(dx, i)[left:right], row_of(s, i)[left:right], kind, alpha)
    if scale != 1:
        factor = dx.dtype.type(scale)
        for i in range(top, bottom):
            row = row_of(dx, i)[left:right]
            for j in range(row.size):
                row[j] *= factor


@kernel(PRODUCT)
def affine_bwd_dw(dw, db, x, dy, precision, part, parts):
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
