# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, freethreading_compatible=False
"""The border between Python and the C kernels.

Reads the list (backends/table.py) for the kernels' signatures; nothing here names a kernel but `sum`. Read by
backends/native.py.

a) A C kernel's arguments are 8-byte slots in the list's order (csrc/kernels/kernels.h). One class, `Kernel`, fills them
   from arrays of any kernel: sizes come from the arrays' shapes, leading dimensions from their strides.
b) Arrays are reached through the buffer protocol, not NumPy's C API: 30 ns each, and no tie to NumPy's ABI.
c) What C relies on (dtype, rank, layout, alignment, sizes that agree, writable outputs) is checked here on every call,
   at a cost of nanoseconds; what only the caller can know (labels in range, aliasing) is checked in fusednet.ops.
d) `Maker` is a kernel for fusednet.ops: where its arrays need no care it makes the outputs too, in the same call.
"""

from cpython.buffer cimport (
    PyBUF_FORMAT, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_IsContiguous, PyBuffer_Release, PyObject_GetBuffer,
)
from cpython.exc cimport PyErr_CheckSignals, PyErr_Clear
from libc.float cimport FLT_MAX
from libc.stdint cimport INT64_MAX, int64_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset

from fusednet._fusednet cimport (
    FN_PROBE_DOT,
    FN_CHUNK, FN_MAX_PARTS, FN_OP_CHECK, FN_OP_KERNEL, FN_OP_LEAVE, FN_PATCH_INT, FN_PATCH_LOAD,
    FN_PATCH_CELL, FN_PATCH_REAL, FN_PATCH_ROWS, FN_PROBE_FMA, FN_PROBE_READ, FN_PROBE_UPDATE, FN_PROBE_WRITE, FN_RUN_CHECK, FN_RUN_DONE,
    FN_RUN_LEFT, FN_RUN_NO_MEMORY, FN_RUN_TIME, fn_call, fn_cursor, fn_isa_count, fn_isa_name, fn_isa_supported,
    fn_isa_table, fn_kernel_cost, fn_math, fn_op, fn_parts, fn_patch, fn_probe_run, fn_program, fn_run, fn_run_advance, fn_run_bind,
    fn_share, fn_share_begin, fn_share_measures, fn_share_parts, fn_share_step, fn_shuffle, fn_slot, fn_table, fn_team, fn_team_free, fn_team_new,
)

import os

from numpy import dtype as dtype_of, empty, ndarray

cdef extern from "Python.h":
    int get_buffer "PyObject_GetBuffer" (object, Py_buffer *, int)  # says by its result alone that it failed

cdef extern from *:
    const char *FN_BUILD_COMPILER
    const char *FN_BUILD_TYPE
    unsigned long FN_BUILD_LIST
    int FN_BUILD_SANITIZE

cdef enum:
    MAX_ARGUMENTS = 24
    MAX_SLOTS = 40
    STATE_WORDS = 625          # of MT19937 and the place of the next
    MAX_SIZES = 8
    RELEASE_GIL_ABOVE = 20000  # cycles; below it, giving the lock away costs more than it frees

cdef object exactly = ndarray, new_array = empty
cdef object F32 = dtype_of("float32"), F64 = dtype_of("float64"), I32 = dtype_of("int32"), I64 = dtype_of("int64")

CHUNK = FN_CHUNK
LIST_CRC = FN_BUILD_LIST   # CRC-32 of kernels.def as it was compiled


# ---- threads ---------------------------------------------------------------------------------------------------------

cdef fn_team *team = NULL
cdef int team_threads = 1
cdef int users = 0        # calls under way without Python's lock; guarded by it
cdef list retired = []    # addresses of teams that such calls may still use
cdef int forced_parts = 0


def set_threads(threads):
    """Use `threads` threads from now on; the old team is dissolved as soon as nobody works with it."""
    global team, team_threads
    if not 1 <= threads <= FN_MAX_PARTS:
        raise ValueError(f"threads is {threads}; wanted 1 to {FN_MAX_PARTS}")
    if threads == team_threads:
        return
    if team != NULL:
        retired.append(<size_t>team)
    team = NULL
    team_threads = threads
    dissolve()


def get_threads():
    return team_threads


def force_parts(int parts):
    """Divide every call, those of a run too, into `parts` parts whatever its size (0: as many as it is worth). For tests."""
    global forced_parts
    if not 0 <= parts <= FN_MAX_PARTS:
        raise ValueError(f"parts is {parts}; wanted 0 to {FN_MAX_PARTS}")
    forced_parts = parts


def _forget_team():
    # In a forked child the helpers do not exist; the team's memory is left alone because a lock in it may be held.
    global team, users
    team = NULL
    users = 0
    retired.clear()


os.register_at_fork(after_in_child=_forget_team)


cdef void dissolve() noexcept:
    cdef size_t old
    while users == 0 and retired:
        old = retired.pop()
        fn_team_free(<fn_team *>old)


cdef fn_team *take_team() noexcept:
    """The team for a call without Python's lock; `leave_team` ends it."""
    global users
    users += 1
    return team


cdef void leave_team() noexcept:
    global users
    users -= 1
    dissolve()


cdef int make_team() except -1:
    global team
    if team == NULL:
        team = fn_team_new(team_threads)
        if team == NULL:
            raise MemoryError(f"a team of {team_threads} threads could not be made; set_num_threads to fewer")
    return 0


# ---- kernels ---------------------------------------------------------------------------------------------------------

cdef enum Kind:
    ARRAY_T      # the table's dtype
    ARRAY_F64
    ARRAY_I64
    ARRAY_I32
    ARRAY_ANY
    REAL
    INTEGER

cdef enum Refused:  # 0: not at all
    REFUSED_DTYPE = 1
    REFUSED_ALIGNMENT
    REFUSED_RANK
    REFUSED_LAYOUT
    REFUSED_SIZE       # and the size's index

cdef struct Parameter:
    int kind
    int rank
    int slot
    int optional
    int writable
    int output       # written in full, never read: may be made for the caller
    int flat         # the elements of an array of any shape, in order
    int size[2]      # which sizes its shape gives, by index

cdef const char *TYPE_CODES = "fdbBhHiIqQ"   # struct format letters, in the order of FN_TYPE


cdef inline int type_code(const char *format) noexcept nogil:
    # l and q are both 64 bits wide where the library runs
    cdef char letter = format[0]
    cdef int code
    if letter == 0 or format[1] != 0:
        return -1
    if letter == c"l":
        letter = c"q"
    elif letter == c"L":
        letter = c"Q"
    for code in range(10):
        if TYPE_CODES[code] == letter:
            return code
    return -1


cdef class Kernel:
    """One kernel of one instruction set as a function: ``kernel(*arguments)`` in the list's order without the sizes."""

    cdef const fn_table *table
    cdef int number, parameters, sizes, first_size_slot, chunks, one, words
    cdef int index, m, r            # an optional index, without which rows 0 to m - 1 of r are read
    cdef Parameter parameter[MAX_ARGUMENTS]
    cdef bint typed                 # whether any array is of the table's dtype
    cdef object signature

    def __init__(self, int isa, signature):
        cdef Parameter *p
        cdef int slot = 0
        self.table = fn_isa_table(isa)
        self.signature = signature
        self.number = signature.number
        sizes = list(signature.sizes)
        self.sizes = len(sizes)
        self.one = sizes.index("one") if "one" in sizes else -1
        self.chunks = sizes.index("chunks") if "chunks" in sizes else -1
        self.words = sizes.index("words") if "words" in sizes else -1
        self.index = -1
        self.parameters = len(signature.parameters)
        assert self.parameters <= MAX_ARGUMENTS and self.sizes <= MAX_SIZES
        for k, argument in enumerate(signature.parameters):
            p = &self.parameter[k]
            p.slot = slot
            p.rank = len(argument.shape)
            p.optional = argument.optional
            p.writable = argument.role in ("out", "io")
            p.output = argument.role == "out"
            p.flat = argument.shape == ("n",) and not {"m", "k"} & set(sizes)
            if argument.role == "real":
                p.kind = REAL
            elif argument.role == "int":
                p.kind = INTEGER
            else:
                self.typed |= argument.dtype == "T"
                p.kind = {"T": ARRAY_T, "float64": ARRAY_F64, "int64": ARRAY_I64, "int32": ARRAY_I32,
                          "any": ARRAY_ANY}[argument.dtype]
            for axis, name in enumerate(argument.shape):
                p.size[axis] = sizes.index(name)
            if argument.name == "index" and argument.optional:
                self.index, self.m, self.r = k, sizes.index("m"), sizes.index("r")
            slot += 1 + (p.rank == 2) + (p.kind == ARRAY_ANY)
        self.first_size_slot = slot
        assert slot + self.sizes <= MAX_SLOTS

    def __repr__(self):
        return f"<native {self.table.isa.decode()} kernel {self.signature.name}>"

    def __call__(self, *arguments):
        cdef Py_buffer buffers[MAX_ARGUMENTS]
        cdef fn_slot slots[MAX_SLOTS]
        cdef int held = 0
        if len(arguments) != self.parameters:
            self.refuse_number(arguments)
        memset(slots, 0, sizeof(slots))
        try:
            self.execute(self.fill(arguments, buffers, slots, &held), slots)
        finally:
            while held > 0:
                held -= 1
                PyBuffer_Release(&buffers[held])

    def cost(self, *arguments):
        """The list's cost of such a call, as the C compiler reads it."""
        cdef Py_buffer buffers[MAX_ARGUMENTS]
        cdef fn_slot slots[MAX_SLOTS]
        cdef int held = 0
        if len(arguments) != self.parameters:
            self.refuse_number(arguments)
        memset(slots, 0, sizeof(slots))
        try:
            self.fill(arguments, buffers, slots, &held)
            return fn_kernel_cost(self.number, slots)
        finally:
            while held > 0:
                held -= 1
                PyBuffer_Release(&buffers[held])

    cdef int execute(self, bint is_double, fn_slot *slots) except -1:
        cdef int parts, status
        cdef int64_t cost = fn_kernel_cost(self.number, slots)
        cdef fn_team *used
        parts = forced_parts if forced_parts else fn_parts(cost, team_threads)
        if parts > 1 and team == NULL:
            make_team()
        if cost > RELEASE_GIL_ABOVE or parts > 1:
            used = take_team()
            with nogil:
                status = fn_call(self.table, is_double, self.number, slots, used, parts)
            leave_team()
        else:
            status = fn_call(self.table, is_double, self.number, slots, NULL, parts)
        if status != 0:
            raise MemoryError("no memory for a kernel's scratch")
        return 0

    cdef int fill(self, tuple arguments, Py_buffer *buffers, fn_slot *slots, int *held) except -1:
        """The arguments as slots; the buffers that are held until the caller lets them go. 1 for double, else 0."""
        cdef Parameter *p
        cdef Py_buffer *b
        cdef fn_slot *sizes = slots + self.first_size_slot
        cdef int known[MAX_SIZES]
        cdef int k, dtype = -1, flags, refused
        self.begin(known)
        for k in range(self.parameters):
            p = &self.parameter[k]
            argument = arguments[k]
            if p.kind == REAL:
                slots[p.slot].d = argument
                continue
            if p.kind == INTEGER:
                slots[p.slot].i = argument
                continue
            if argument is None:
                if not p.optional:
                    raise TypeError(f"{self.name(k)} may not be None")
                continue
            b = &buffers[held[0]]
            flags = PyBUF_STRIDES | PyBUF_FORMAT
            if p.writable:
                flags |= PyBUF_WRITABLE
            PyObject_GetBuffer(argument, b, flags)
            held[0] += 1
            refused = self.place(k, b, False, slots, known, &dtype)
            if refused:
                self.refuse(refused, k, known, arguments, b.ndim, dtype)
        self.complete(arguments, sizes)
        return 1 if dtype == 1 else 0  # a kernel without arrays of the table's dtype: both are alike

    cdef int complete(self, tuple arguments, fn_slot *sizes) except -1:
        """What sizes have to be beyond fitting each other."""
        if self.one >= 0 and sizes[self.one].i != 1:
            raise ValueError(f"{self.signature.name} writes one element, its output has {sizes[self.one].i}")
        if self.chunks >= 0 and sizes[self.chunks].i != (sizes[0].i + FN_CHUNK - 1) // FN_CHUNK:
            raise ValueError(f"{self.signature.name} of {sizes[0].i} elements writes a sum for every {FN_CHUNK}, "
                             f"its output has {sizes[self.chunks].i}")
        if self.words >= 0 and sizes[self.words].i != STATE_WORDS:
            raise ValueError(f"{self.signature.name} draws from a state of {STATE_WORDS} words, "
                             f"{sizes[self.words].i} given")
        if self.index >= 0 and sizes[self.r].i < sizes[self.m].i and arguments[self.index] is None:
            raise ValueError(f"{self.signature.name} without an index reads the first {sizes[self.m].i} rows, "
                             f"there are {sizes[self.r].i}")
        return 0

    cdef void begin(self, int *known) noexcept:
        cdef int k
        for k in range(self.sizes):
            known[k] = -1

    cdef int place(self, int k, Py_buffer *b, bint any_rank, fn_slot *slots, int *known, int *dtype) noexcept:
        """Array k in its slots, its sizes among those that are known; 0, or why it is refused.

        `known` has for each size the first parameter that gave it, `dtype` 0 or 1 as soon as an array has told it. With
        `any_rank` an array of a flat parameter may have any shape.
        """
        cdef Parameter *p = &self.parameter[k]
        cdef fn_slot *sizes = slots + self.first_size_slot
        cdef int axis, code = type_code(b.format)
        cdef int64_t ld
        if p.kind == ARRAY_T and dtype[0] < 0 and (code == 0 or code == 1):
            dtype[0] = code
        if code < 0 or not (
            p.kind == ARRAY_ANY or (p.kind == ARRAY_T and code == dtype[0]) or (p.kind == ARRAY_F64 and code == 1)
            or (p.kind == ARRAY_I64 and code == 8) or (p.kind == ARRAY_I32 and code == 6)
        ):
            return REFUSED_DTYPE
        if <size_t>b.buf & <size_t>(b.itemsize - 1):  # a size that the list has: a power of 2
            return REFUSED_ALIGNMENT
        slots[p.slot].p = b.buf
        if any_rank and p.flat:
            if not PyBuffer_IsContiguous(b, c"C"):
                return REFUSED_LAYOUT
            return 0 if self.fits(p.size[0], k, b.len // b.itemsize, sizes, known) else REFUSED_SIZE + p.size[0]
        if b.ndim != p.rank:
            return REFUSED_RANK
        if p.rank == 2:
            ld = b.shape[1]
            if b.shape[0] > 1:
                ld = b.strides[0] // b.itemsize
                if ld < b.shape[1] or ld * b.itemsize != b.strides[0]:
                    return REFUSED_LAYOUT
            slots[p.slot + 1].i = ld
        if b.shape[p.rank - 1] > 1 and b.strides[p.rank - 1] != b.itemsize:
            return REFUSED_LAYOUT
        if p.kind == ARRAY_ANY:
            slots[p.slot + p.rank].i = code
        for axis in range(p.rank):
            if not self.fits(p.size[axis], k, b.shape[axis], sizes, known):
                return REFUSED_SIZE + p.size[axis]
        return 0

    cdef bint fits(self, int size, int k, int64_t extent, fn_slot *sizes, int *known) noexcept:
        # Whether a size is as parameter k gives it; taken from there where it was not known.
        if known[size] < 0:
            known[size] = k
            sizes[size].i = extent
        return sizes[size].i == extent

    cdef make(self, tuple arguments, Py_buffer *buffers, fn_slot *slots, int *held, tuple others,
              Kernel total):
        """See `Maker`; with `total`, the kernel `sum`, the first output is added up and not kept."""
        cdef Parameter *p
        cdef Py_buffer *b
        cdef Py_buffer *shaped = NULL
        cdef fn_slot *sizes = slots + self.first_size_slot
        cdef fn_slot cells[MAX_ARGUMENTS]  # outputs of one number
        cdef int known[MAX_SIZES]
        cdef void *passing
        cdef int64_t size = 0
        cdef bint doubles = False
        cdef int k, dtype = -1, added_up = -1  # the slot of what is added up
        self.begin(known)
        if not self.receive(arguments, others, buffers, slots, held, known, &dtype, &shaped):
            return None
        if self.chunks >= 0:
            sizes[self.chunks].i = (sizes[0].i + FN_CHUNK - 1) // FN_CHUNK
            known[self.chunks] = 0
        result, results = None, None
        for k in range(self.parameters):
            p = &self.parameter[k]
            if not p.output or arguments[k] is None:
                continue
            if p.rank == 1 and p.size[0] == self.one:
                slots[p.slot].p = &cells[k]
                sizes[self.one].i = 1
                continue
            if p.kind == ARRAY_T and dtype < 0 or known[p.size[0]] < 0 or (p.rank == 2 and known[p.size[1]] < 0):
                return None
            if total is not None and added_up < 0:
                added_up = p.slot
                size = sizes[p.size[0]].i
                doubles = p.kind == ARRAY_F64 or dtype == 1
                continue
            if p.flat:
                shape = shape_of(shaped)
            elif p.rank == 1:
                shape = sizes[p.size[0]].i
            else:
                shape = (sizes[p.size[0]].i, sizes[p.size[1]].i)
            if result is not None:
                results = (result,) if results is None else (*results, result)
            result = new_array(shape, F32 if p.kind == ARRAY_T and dtype == 0 else I32 if p.kind == ARRAY_I32
                           else I64 if p.kind == ARRAY_I64 else F64)
            b = &buffers[held[0]]
            PyObject_GetBuffer(result, b, PyBUF_WRITABLE)  # no more is asked of an array that was made here
            held[0] += 1
            slots[p.slot].p = b.buf
            if p.rank == 2:
                slots[p.slot + 1].i = sizes[p.size[1]].i
        self.complete(arguments, sizes)
        if added_up >= 0:
            passing = malloc(max(size, 1) * sizeof(double))
            if passing == NULL:
                raise MemoryError("no memory for what is added up")
            slots[added_up].p = passing
            try:
                self.execute(dtype == 1, slots)
                added = total.add_up(passing, size, doubles)
            finally:
                free(passing)
            return added if result is None else (added, result) if results is None else (added, *results, result)
        self.execute(dtype == 1, slots)
        if self.one >= 0:
            results = [cells[k].d if self.parameter[k].kind == ARRAY_F64 else cells[k].i
                       for k in range(self.parameters) if arguments[k] is Ellipsis]
            return results[0] if len(results) == 1 else tuple(results)
        if result is None:
            return ()
        return result if results is None else (*results, result)

    cdef bint receive(self, tuple arguments, tuple others, Py_buffer *buffers, fn_slot *slots, int *held, int *known,
                      int *dtype, Py_buffer **shaped) except -1:
        """What comes in, in its slots, and whether it can go to the kernel; `shaped` has the shape of flat arrays."""
        cdef Parameter *p
        cdef Py_buffer *b
        cdef size_t low[MAX_ARGUMENTS]
        cdef size_t high[MAX_ARGUMENTS]
        cdef bint changed[MAX_ARGUMENTS]
        cdef int k, j, code, told = -1
        for k in range(self.parameters):
            p = &self.parameter[k]
            argument = arguments[k]
            if p.kind == REAL:
                slots[p.slot].d = argument
            elif p.kind == INTEGER:
                slots[p.slot].i = argument
            elif argument is None:
                if not p.optional:
                    return False
            elif p.output or argument is Ellipsis:
                if not (p.output and argument is Ellipsis):
                    return False
            else:
                b = &buffers[held[0]]
                if type(argument) is not exactly or not buffer_of(argument, b, p.writable):
                    return False
                changed[held[0]] = p.writable
                held[0] += 1
                if self.place(k, b, True, slots, known, dtype):
                    return False
                if p.kind == ARRAY_ANY:
                    code = type_code(b.format)
                    if code == 0 or code == 1:
                        told = code
                elif p.flat:
                    if shaped[0] == NULL:
                        shaped[0] = b
                    elif not same_shape(b, shaped[0]):
                        return False
        if told >= 0:  # floats of any dtype decide with the others what the result is of
            if dtype[0] < 0:
                dtype[0] = told
            if dtype[0] != told:
                return False
        for other in others:
            if type(other) is not exactly or held[0] == MAX_ARGUMENTS or not buffer_of(other, &buffers[held[0]], False):
                return False
            changed[held[0]] = False
            held[0] += 1
        for k in range(held[0]):
            span(&buffers[k], &low[k], &high[k])
            for j in range(k):
                if (changed[k] or changed[j]) and low[k] < high[j] and low[j] < high[k]:
                    return False
        return True

    cdef double add_up(self, void *x, int64_t size, bint is_double) except? -1:
        # What the kernel `sum` makes of so many numbers.
        cdef fn_slot slots[MAX_SLOTS]
        cdef fn_slot *sizes = slots + self.first_size_slot
        cdef double total = 0
        memset(slots, 0, sizeof(slots))
        slots[self.parameter[0].slot].p = &total
        slots[self.parameter[1].slot].p = x
        sizes[self.parameter[1].size[0]].i = size
        sizes[self.one].i = 1
        self.execute(is_double, slots)
        return total

    # What went wrong, in words; apart from the path that is taken when all is well.

    cdef refuse(self, int refused, int k, int *known, tuple arguments, int rank, int dtype):
        cdef Parameter *p = &self.parameter[k]
        if refused == REFUSED_DTYPE:
            self.refuse_dtype(k, arguments[k], dtype)
        if refused == REFUSED_ALIGNMENT:
            self.refuse_alignment(k)
        if refused == REFUSED_RANK:
            raise ValueError(f"{self.name(k)} has {rank} dimensions, wanted {p.rank}")
        if refused == REFUSED_LAYOUT:
            self.refuse_layout(k, arguments[k])
        self.refuse_shape(k, known[refused - REFUSED_SIZE], arguments)

    cdef name(self, int k):
        return f"{self.signature.name}: {self.signature.parameters[k].name}"

    cdef refuse_number(self, tuple arguments):
        names = ", ".join(a.name for a in self.signature.parameters)
        raise TypeError(f"{self.signature.name} takes {self.parameters} arguments ({names}), {len(arguments)} given")

    cdef refuse_dtype(self, int k, argument, int dtype):
        wanted = self.signature.parameters[k].dtype
        if isinstance(argument, ndarray) and not argument.flags.aligned:  # NumPy gives it another format
            self.refuse_alignment(k)
        if wanted == "T":
            wanted = "float32 or float64" if dtype < 0 else "float64" if dtype else "float32"
        elif wanted == "any":
            wanted = "a native integer or floating dtype"
        raise TypeError(f"{self.name(k)} is {argument.dtype}, wanted {wanted}")

    cdef refuse_alignment(self, int k):
        raise ValueError(f"{self.name(k)} is not aligned, wanted elements at multiples of their size")

    cdef refuse_layout(self, int k, argument):
        raise ValueError(f"{self.name(k)} of shape {argument.shape} has strides {argument.strides}, "
                         "wanted rows of contiguous elements")

    cdef refuse_shape(self, int k, int before, tuple arguments):
        one, other = self.signature.parameters[before], self.signature.parameters[k]
        raise ValueError(
            f"{self.signature.name}: {one.name} {arguments[before].shape} and {other.name} {arguments[k].shape} do not "
            f"fit: they are ({', '.join(one.shape)}) and ({', '.join(other.shape)})"
        )


def kernels(int isa, signatures):
    """The kernels of instruction set number `isa`, by name."""
    return {name: Kernel(isa, signature) for name, signature in signatures.items()}


# ---- makers ----------------------------------------------------------------------------------------------------------

cdef class Maker:
    """What a kernel makes of arrays that can go to it as they are; None where they cannot, and nothing is changed.

    It is called as the kernel is, with ``...`` for each output that is wanted. Arrays are exactly ndarray; those of which
    the kernel wants only the elements in order (activations, steps) may have any shape, all of them the same. What is
    updated in place may share no memory with another argument.

    It returns the outputs, new arrays of the dtype of those given, or the numbers where a kernel writes one; a tuple
    unless it is just one. None: an array has another dtype, layout or shape than the others ask for. Whoever hears it
    converts, or finds the words for what is wrong.
    """

    cdef Kernel kernel, total

    def __init__(self, Kernel kernel, Kernel total):
        self.kernel, self.total = kernel, total

    def __call__(self, *arguments):
        return self.call(arguments, (), None)

    def update(self, tuple arrays, tuple numbers, tuple others=()):
        """The same of a kernel that works in place, on arrays that must not share memory with `others` either."""
        return self.call(arrays + numbers, others, None)

    def summed(self, *arguments):
        """The same, with the sum of the first output in its place: in double precision and a fixed order. The first is
        a row of numbers."""
        return self.call(arguments, (), self.total)

    def mean(self, tuple arguments, bint second, tuple numbers, int64_t rows):
        """Of a loss: (the mean over its rows, the gradient of that), the second only where it is wanted, else None.

        `arguments` are its arrays without those that it writes; `numbers` are its numbers without the last, which
        scales the gradient: by 1 over the rows.
        """
        made = self.call((Ellipsis, Ellipsis if second else None, *arguments, *numbers, 1.0 / rows), (),
                         self.total)
        if made is None:
            return None
        return (made[0] / rows, made[1]) if second else (made / rows, None)

    cdef call(self, tuple arguments, tuple others, Kernel total):
        cdef Py_buffer buffers[MAX_ARGUMENTS]
        cdef fn_slot slots[MAX_SLOTS]
        cdef int held = 0
        if len(arguments) != self.kernel.parameters:
            self.kernel.refuse_number(arguments)
        memset(slots, 0, sizeof(slots))
        try:
            return self.kernel.make(arguments, buffers, slots, &held, others, total)
        finally:
            while held > 0:
                held -= 1
                PyBuffer_Release(&buffers[held])


def makers(dict kernels):
    """A `Maker` of each kernel, by name."""
    return {name: Maker(kernel, kernels["sum"]) for name, kernel in kernels.items()}


cdef bint buffer_of(object array, Py_buffer *b, bint writable):
    # False: read-only where it may not be, or of a dtype that no buffer can be of.
    if get_buffer(array, b, PyBUF_STRIDES | PyBUF_FORMAT | (PyBUF_WRITABLE if writable else 0)) == 0:
        return True
    PyErr_Clear()
    return False


cdef tuple shape_of(Py_buffer *b):
    cdef int axis
    if b.ndim == 2:
        return b.shape[0], b.shape[1]
    return tuple([b.shape[axis] for axis in range(b.ndim)])


cdef bint same_shape(Py_buffer *a, Py_buffer *b) noexcept:
    return a.ndim == b.ndim and (a.ndim == 0 or memcmp(a.shape, b.shape, a.ndim * sizeof(Py_ssize_t)) == 0)


cdef void span(Py_buffer *b, size_t *low, size_t *high) noexcept:
    # The bytes from the first element that the array reaches to past the last.
    cdef int axis
    cdef Py_ssize_t reach
    low[0] = high[0] = <size_t>b.buf
    if b.len == 0:
        return
    high[0] += b.itemsize
    for axis in range(b.ndim):
        reach = (b.shape[axis] - 1) * b.strides[axis]
        if reach < 0:
            low[0] += reach
        else:
            high[0] += reach


include "_run.pxi"
include "_forward.pxi"


# ---- what there is ---------------------------------------------------------------------------------------------------

def isas():
    """((name, whether this machine has it), ...), best first."""
    return tuple((fn_isa_name(i).decode(), bool(fn_isa_supported(i))) for i in range(fn_isa_count()))


def build():
    """How this module was built."""
    return {"compiler": FN_BUILD_COMPILER.decode(), "type": FN_BUILD_TYPE.decode(),
            "sanitizers": bool(FN_BUILD_SANITIZE)}


# ---- measured on their own: ceilings of the machine, and the library's exp and tanh -----------------------------------

PROBES = {"fma": FN_PROBE_FMA, "dot": FN_PROBE_DOT, "read": FN_PROBE_READ, "write": FN_PROBE_WRITE,
          "update": FN_PROBE_UPDATE}


def probe(int isa, bint is_double, str what, array, int64_t repeat):
    """Run a probe (csrc/include/fusednet.h) on all threads; the caller takes the time. Its operations or bytes."""
    cdef Py_buffer b
    cdef const fn_table *table = fn_isa_table(isa)
    cdef int number, parts = team_threads, t = is_double
    cdef fn_team *used
    if what not in PROBES:
        raise ValueError(f"probe is {what!r}; known: {', '.join(PROBES)}")
    number = PROBES[what]
    if number == FN_PROBE_DOT and not table.probe[t].dot_flop:
        raise ValueError(f"{table.isa.decode()} multiplies no bfloat16 numbers" + (" in float64" if is_double else ""))
    if parts > 1 and team == NULL:
        make_team()
    if number == FN_PROBE_FMA or number == FN_PROBE_DOT:
        used = take_team()
        with nogil:
            fn_probe_run(table, t, number, NULL, 0, repeat, used, parts)
        leave_team()
        return (table.probe[t].fma_flop if number == FN_PROBE_FMA else table.probe[t].dot_flop) * repeat * parts
    PyObject_GetBuffer(array, &b, PyBUF_WRITABLE)  # without strides: contiguous
    try:
        if <size_t>b.buf % 64 or b.itemsize != (8 if is_double else 4) or b.len // b.itemsize % (1024 * parts):
            raise ValueError(f"a probe's array is of its dtype, on a 64-byte boundary, and a multiple of {1024 * parts} long")
        used = take_team()
        with nogil:
            fn_probe_run(table, t, number, b.buf, b.len // b.itemsize, repeat, used, parts)
        leave_team()
        return b.len * repeat
    finally:
        PyBuffer_Release(&b)


def math(int isa, str name, y, x):
    """y = exp(x) or tanh(x) with the library's own vector function; contiguous arrays of one dtype."""
    cdef Py_buffer out, source
    cdef fn_math functions = fn_isa_table(isa).math[x.dtype.itemsize == 8]
    cdef bint is_exp = name == "exp"
    if name not in ("exp", "tanh"):
        raise ValueError(f"function is {name!r}; known: exp, tanh")
    if y.dtype != x.dtype or y.shape != x.shape or x.ndim != 1 or x.dtype.char not in "fd":
        raise ValueError("x and y are 1-D arrays of one size and dtype, float32 or float64")
    PyObject_GetBuffer(y, &out, PyBUF_WRITABLE)
    try:
        PyObject_GetBuffer(x, &source, 0)
        try:
            with nogil:
                if is_exp:
                    functions.exp(out.buf, source.buf, out.len // out.itemsize)
                else:
                    functions.tanh(out.buf, source.buf, out.len // out.itemsize)
        finally:
            PyBuffer_Release(&source)
    finally:
        PyBuffer_Release(&out)


def ulp_bounds(int isa):
    """{(function, dtype): largest error in units in the last place}, as stated in csrc/kernels/math_impl.h."""
    cdef const fn_table *table = fn_isa_table(isa)
    return {
        ("exp", "float32"): table.math[0].ulp_exp, ("exp", "float64"): table.math[1].ulp_exp,
        ("tanh", "float32"): table.math[0].ulp_tanh, ("tanh", "float64"): table.math[1].ulp_tanh,
    }
