# ---- outputs of a network --------------------------------------------------------------------------------------------
# A part of _native.pyx: a run of a plan that predicts, kept for rows that lie elsewhere at each call. Read by
# fusednet/predictor.py through backends/native.py; its Python twin is `Forward` of backends/interp.py.
#
# a) One call from array to array: the rows are looked at through the buffer protocol and read where they lie, the outputs
#    are written where they stay. Whatever it is not made for is answered with None, and somebody slower has a look.
# b) Work of a few microseconds keeps Python's lock: giving it away costs more than it frees.

cdef struct Place:
    fn_patch *patch
    int64_t offset  # bytes from where the array begins, of some of its columns
    bint out


cdef bint any_beyond(const double *x, int64_t n, double most) noexcept nogil:
    """Whether a number's magnitude is above `most`."""
    cdef int64_t i
    cdef bint found = False
    for i in range(n):
        found |= x[i] > most
        found |= x[i] < -most
    return found


cdef class Forward:
    """What a run gives for other rows.

    Parameters
    ----------
    run : Run
        Of one epoch over all rows; it is walked from here on by this object alone.
    x, out : ndarray, (rows, features) and (rows, outputs)
        What its programs were bound to. They are not kept.
    find_nonfinite : Kernel
        Says where a number of x is not finite.
    ndarray : type
        NumPy's.
    empty : callable
        NumPy's.
    seconds : float
        After how long somebody who wants to interrupt is heard.
    """

    cdef Run run
    cdef Kernel find_nonfinite
    cdef object ndarray, empty, shape, dtype, first
    cdef int code
    cdef int64_t rows, features, itemsize, work, count
    cdef double seconds, most  # most: of a number of x, where the network's dtype holds less; else 0
    cdef Place *places
    cdef fn_slot look[MAX_SLOTS]

    def __init__(self, Run run, x, out, Kernel find_nonfinite, ndarray, empty, double seconds):
        cdef Py_buffer buffers[MAX_ARGUMENTS]
        cdef Py_buffer one
        cdef Program program
        cdef int held = 0
        cdef int64_t i, patches = 0
        if run.numbers:
            raise ValueError("a plan that predicts has no numbers that change from step to step")
        self.run, self.find_nonfinite, self.ndarray, self.empty, self.seconds = run, find_nonfinite, ndarray, empty, seconds
        self.rows, self.features = x.shape
        self.shape, self.dtype, self.itemsize = out.shape, out.dtype, x.itemsize
        self.code = type_code(x.dtype.char.encode())
        self.most = FLT_MAX if x.dtype.char == "d" and out.dtype.char == "f" else 0
        programs = [program for program in run.kept[:2] if program is not None]
        for program in programs:
            patches += program.patch_count
        self.places = <Place *>calloc(patches + 1, sizeof(Place))
        if self.places == NULL:
            raise MemoryError("no memory for a plan's ops")
        for program in programs:
            for i, array in enumerate(program.fed):
                if array is x or array is out:
                    self.places[self.count].patch = &program.patches[i]
                    self.places[self.count].out = array is out
                    address_of(array, False, &one)
                    self.places[self.count].offset = <char *>program.patches[i].base - <char *>one.buf
                    self.count += 1
            program.fed = None
            self.work = max(self.work, program.cost)
        self.work *= run.run.steps_per_epoch
        self.first = memoryview(bytearray(sizeof(int64_t))).cast("q")
        memset(self.look, 0, sizeof(self.look))
        try:
            find_nonfinite.fill((self.first, x), buffers, self.look, &held)
        finally:
            while held > 0:
                held -= 1
                PyBuffer_Release(&buffers[held])

    def __dealloc__(self):
        free(self.places)

    def __call__(self, x):
        """Outputs of x, or None where x is no array of the rows, columns, dtype and layout that it was made for, or has
        NaN, infinity or what would be one in the network's dtype."""
        cdef Py_buffer b
        cdef void *address
        cdef char *base
        cdef bint fits
        cdef int status
        cdef int64_t i
        cdef bint alone = self.work < RELEASE_GIL_ABOVE and not forced_parts
        cdef fn_team *used
        if type(x) is not self.ndarray:
            return None
        if not buffer_of(x, &b, False):
            return None
        address = b.buf
        fits = (b.ndim == 2 and b.shape[0] == self.rows and b.shape[1] == self.features
                and type_code(b.format) == self.code and <size_t>address % <size_t>self.itemsize == 0
                and (b.shape[1] == 1 or b.strides[1] == self.itemsize)
                and (b.shape[0] == 1 or b.strides[0] == self.features * self.itemsize))
        PyBuffer_Release(&b)
        if not fits:
            return None
        out = self.empty(self.shape, self.dtype)
        PyObject_GetBuffer(out, &b, PyBUF_WRITABLE)
        PyBuffer_Release(&b)
        for i in range(self.count):
            base = <char *>b.buf if self.places[i].out else <char *>address
            self.places[i].patch.base = base + self.places[i].offset
        self.look[self.find_nonfinite.parameter[1].slot].p = address
        memset(self.run.run.cursor, 0, sizeof(fn_cursor))
        self.run.run.record_count = self.run.run.scalar_count = 0
        self.run.run.share.forced = forced_parts
        if alone:
            status = self.look_through()
            if status == FN_RUN_DONE:
                status = self.walk(NULL)
        else:
            if (team_threads > 1 or forced_parts) and team == NULL:
                make_team()
            used = take_team()
            with nogil:
                status = self.look_through()
                if status == FN_RUN_DONE:
                    status = self.walk(used)
            leave_team()
            while status == FN_RUN_TIME:
                PyErr_CheckSignals()  # without the team: who answers may fork, or set the number of threads
                used = take_team()
                with nogil:
                    status = self.walk(used)
                leave_team()
        if status == FN_RUN_NO_MEMORY:
            raise MemoryError("no memory for the kernels' scratch")
        return out if status == FN_RUN_DONE else None

    cdef int look_through(self) noexcept nogil:
        """FN_RUN_CHECK where a number of x is not finite, or would not be in the network's dtype."""
        cdef int64_t *first = <int64_t *>self.look[self.find_nonfinite.parameter[0].slot].p
        if fn_call(self.find_nonfinite.table, 0, self.find_nonfinite.number, self.look, NULL, 1) != 0:
            return FN_RUN_NO_MEMORY
        if first[0] >= 0:
            return FN_RUN_CHECK
        if self.most > 0 and any_beyond(<const double *>self.look[self.find_nonfinite.parameter[1].slot].p,
                                        self.rows * self.features, self.most):
            return FN_RUN_CHECK
        return FN_RUN_DONE

    cdef int walk(self, fn_team *used) noexcept nogil:
        """The steps that are left. When all are done it does not matter that time is over too."""
        cdef int64_t done, left = self.run.run.steps_per_epoch - self.run.run.cursor.epoch_step
        cdef int status = fn_run_advance(&self.run.run, left, self.seconds, used, &done)
        return FN_RUN_DONE if self.run.run.cursor.epoch > 0 else status
