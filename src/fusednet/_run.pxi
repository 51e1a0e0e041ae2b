# ---- runs ------------------------------------------------------------------------------------------------------------
# A part of _native.pyx: the border of csrc/include/run.h. Who makes bound ops is fusednet/bind.py; their Python walker is
# backends/interp.py, which says in words what is done here.

CURSOR_FIELDS = sizeof(fn_cursor) // sizeof(int64_t)

cdef object address_of(array, bint writable, Py_buffer *b):
    # The address of a contiguous array; the buffer is let go at once: whoever asks keeps the array itself.
    PyObject_GetBuffer(array, b, PyBUF_WRITABLE if writable else 0)
    PyBuffer_Release(b)


cdef dict patch_kinds = {}  # by type of argument


cdef object patch_of(argument):
    """The kind of a patch, None for other arguments. It is the class's, and asked once: the limited API looks for what
    is not there by raising an error, which takes longer than all else here."""
    kind = type(argument)
    if kind not in patch_kinds:
        patch_kinds[kind] = getattr(argument, "patch", None)
    return patch_kinds[kind]


cdef class Program:
    """Bound ops of one plan and one number of rows, as the C loop wants them.

    Parameters
    ----------
    kernels : dict of str to Kernel
    ops : sequence of fusednet.bind.BoundOp
    commit : int
        The first op that may not be done twice.
    """

    cdef fn_program program
    cdef fn_op *ops
    cdef fn_slot *slots
    cdef fn_patch *patches
    cdef int dtype
    cdef readonly list arrays        # what the slots point into
    cdef list fed                    # for each patch the array whose rows the cursor goes through, or None
    cdef int64_t numbers             # how many a step has of those that change from step to step
    cdef int64_t rows                # the fewest rows of an array whose rows the cursor goes through
    cdef int64_t patch_count, slot_count
    cdef int64_t cost                # of all ops: cycles, about

    def __cinit__(self):
        self.dtype = -1
        self.rows = INT64_MAX

    def __dealloc__(self):
        free(self.ops)
        free(self.slots)
        free(self.patches)

    def __init__(self, dict kernels, ops, int64_t commit):
        cdef int64_t n = len(ops), patches = 0
        self.arrays, self.fed = [], []
        for op in ops:
            for argument in op.arguments:
                patches += patch_of(argument) is not None
        self.ops = <fn_op *>calloc(n + 1, sizeof(fn_op))
        self.slots = <fn_slot *>calloc(n * MAX_SLOTS + 1, sizeof(fn_slot))
        self.patches = <fn_patch *>calloc(patches + 1, sizeof(fn_patch))
        if self.ops == NULL or self.slots == NULL or self.patches == NULL:
            raise MemoryError("no memory for a plan's ops")
        for i, op in enumerate(ops):
            self.add(&self.ops[i], kernels, op)
        for i in range(n - 1, -1, -1):
            self.ops[i].count = max(1, min(n, ops[i].end) - i)
            if self.ops[i].count > 1:
                self.ops[i].work += self.ops[i + 1].work
        self.program.ops = self.ops
        self.program.count = n
        self.program.commit = commit
        self.program.patches = self.patches

    cdef int add(self, fn_op *op, dict kernels, bound) except -1:
        cdef Py_buffer buffers[MAX_ARGUMENTS]
        cdef Py_buffer one
        cdef fn_slot *slots = self.slots + self.slot_count
        cdef fn_patch *patch
        cdef Kernel kernel
        cdef int held = 0, dtype
        op.slots = slots
        op.patch = self.patch_count
        if bound.kernel == "leave":
            op.kind = FN_OP_LEAVE
            return 0
        if bound.kernel == "check":
            op.kind = FN_OP_CHECK
            address_of(bound.arguments[0], False, &one)
            op.check = <const double *>one.buf
            self.arrays.append(bound.arguments[0])
            return 0
        kernel = kernels[bound.kernel]
        kinds = [patch_of(argument) for argument in bound.arguments]
        arguments = tuple([argument if kind is None else argument.stand_in
                           for argument, kind in zip(bound.arguments, kinds)])
        if len(arguments) != kernel.parameters:
            kernel.refuse_number(arguments)
        try:
            dtype = kernel.fill(arguments, buffers, slots, &held)
        finally:
            while held > 0:
                held -= 1
                PyBuffer_Release(&buffers[held])
        if kernel.typed:
            if self.dtype >= 0 and dtype != self.dtype:
                raise TypeError(f"{bound.kernel}: a plan's arrays are all float32 or all float64")
            self.dtype = dtype
        self.arrays.extend([argument for argument, kind in zip(arguments, kinds)
                            if argument is not None and kind not in ("rows", "cell")])
        for k, argument in enumerate(bound.arguments):
            if kinds[k] is None:
                continue
            self.fed.append(argument.array if kinds[k] == "rows" else None)
            patch = &self.patches[self.patch_count]
            self.patch_count += 1
            patch.slot = slots + kernel.parameter[k].slot
            if argument.patch == "scalar":
                patch.kind = FN_PATCH_INT if kernel.parameter[k].kind == INTEGER else FN_PATCH_REAL
                patch.source = argument.column
                self.numbers = max(self.numbers, patch.source + 1)
            elif argument.patch == "load":
                patch.kind = FN_PATCH_LOAD
                address_of(argument.array, False, &one)
                patch.base = one.buf
                self.arrays.append(argument.array)
            elif argument.patch == "cell":
                patch.kind = FN_PATCH_CELL
                address_of(argument.cell.address, False, &one)
                patch.base = one.buf
                patch.source = argument.offset
                self.arrays.append(argument.cell.address)
            else:
                patch.kind = FN_PATCH_ROWS
                patch.base = slots[kernel.parameter[k].slot].p  # that of the position 0, `begin` rows on
                patch.source = argument.row_bytes
                self.rows = min(self.rows, <int64_t>len(argument.array))
            op.patches += 1
        op.kind = FN_OP_KERNEL
        op.kernel = kernel.number
        op.parts = bound.parts
        op.rows = bound.rows
        op.slices = bound.slices
        op.slice = -1 if bound.slice is None else bound.slice
        op.together = bound.together
        op.work = fn_kernel_cost(kernel.number, slots)
        self.slot_count += kernel.first_size_slot + kernel.sizes
        self.cost += op.work
        return 0


cdef class Run:
    """Programs, the user's rows and the cursor: what `advance` walks.

    Parameters
    ----------
    isa : int
    is_double : bool
    full, tail : Program or None
        For a whole batch, and for the rows left at the end of a pass.
    rows, batch, steps_per_epoch : int
    order, chosen : ndarray of int64 or None
    seed : int
    cursor : ndarray of int64, `CURSOR_FIELDS` of them
    sums : ndarray of float64
    records : ndarray of float64, (capacity, len(sums))
    flush : bool
        Whether results below the smallest normal number are 0.
    """

    cdef fn_run run
    cdef tuple kept
    cdef readonly object records
    cdef readonly Run following      # see `follow`
    cdef int64_t every
    cdef readonly bint owes          # whether an epoch has ended after which `following` is not through
    cdef bint walked                 # while a call is under way
    cdef int64_t numbers             # of a step, that the programs take

    def __init__(self, int isa, bint is_double, Program full, Program tail, int64_t rows, int64_t batch,
                 int64_t steps_per_epoch, order, chosen, uint64_t seed, cursor, sums, records, bint flush):
        cdef Py_buffer b
        if rows < 1 or batch < 1 or batch > rows or steps_per_epoch < 1 or (rows % batch != 0 and tail is None):
            raise ValueError(f"a run of {rows} rows in batches of {batch}, {steps_per_epoch} steps per epoch")
        if rows > full.rows or (tail is not None and rows > tail.rows):
            raise ValueError(f"a run of {rows} rows through arrays of fewer rows")
        memset(&self.run, 0, sizeof(self.run))
        self.kept = (full, tail, order, chosen, cursor, sums, records)
        self.records = records
        self.run.program[0] = full.program
        if tail is not None:
            self.run.program[1] = tail.program
        fn_run_bind(&self.run, fn_isa_table(isa), is_double)
        self.run.rows = rows
        self.run.batch = batch
        self.run.steps_per_epoch = steps_per_epoch
        self.run.seed = seed
        self.run.flush = flush
        self.numbers = max(full.numbers, 0 if tail is None else tail.numbers)
        if order is not None:
            expect("order", order, "i", rows)
            address_of(order, True, &b)
            self.run.order = <int64_t *>b.buf
        if chosen is not None:
            expect("chosen", chosen, "i", rows)
            address_of(chosen, False, &b)
            self.run.chosen = <const int64_t *>b.buf
        expect("cursor", cursor, "i", CURSOR_FIELDS)
        address_of(cursor, True, &b)
        self.run.cursor = <fn_cursor *>b.buf
        expect("sums", sums, "f", len(sums))
        address_of(sums, True, &b)
        self.run.sums = <double *>b.buf
        self.run.sum_count = len(sums)
        expect("records", records, "f", records.shape[0] * len(sums))
        address_of(records, True, &b)
        self.run.records = <double *>b.buf
        self.run.record_capacity = records.shape[0]

    def follow(self, Run following, int64_t every):
        """Let all steps of another run be done after each `every`-th epoch, from the first, in the same call.

        Its sums are then in its `records`, those of the last call in the first `followed` of them.
        """
        if every < 1:
            raise ValueError(f"a run that follows each {every} epochs")
        if following.numbers:
            raise ValueError("a run that follows has no numbers that change from step to step")
        self.following, self.every = following, every

    @property
    def followed(self):
        """How often the last call got to the end of the run that follows."""
        return self.following.run.record_count if self.following is not None else 0

    @property
    def trial(self):
        """How many ways of sharing out the phases there are, and how many steps of a trial of one of them are done; -1
        between trials. For tests."""
        return self.run.share.count, self.run.share.sample

    def advance(self, scalars, double seconds):
        """One call of the loop.

        Parameters
        ----------
        scalars : ndarray of float64, (steps, numbers)
            What changes from step to step; its length says how many steps are wanted.
        seconds : float

        Returns
        -------
        status : {"done", "time", "check", "left"}
        steps, epochs : int
            How many were finished; the epochs' sums are the first of `records`.
        """
        cdef Py_buffer b
        cdef int64_t steps = scalars.shape[0], done = 0
        cdef int status
        cdef fn_team *used
        expect("scalars", scalars, "f", steps * scalars.shape[1])
        if scalars.shape[1] < self.numbers:
            raise ValueError(f"scalars has {scalars.shape[1]} columns, the programs take {self.numbers}")
        self.check_place()
        if self.following is not None:
            self.following.check_place()
        if (team_threads > 1 or forced_parts) and team == NULL:
            make_team()
        PyObject_GetBuffer(scalars, &b, 0)
        self.run.scalars = <const double *>b.buf
        self.run.scalar_count = scalars.shape[1]
        self.run.record_count = 0
        self.run.share.forced = forced_parts
        used = take_team()
        self.mark(True)
        with nogil:
            if self.following is None:
                status = fn_run_advance(&self.run, steps, seconds, used, &done)
            else:
                self.following.run.share.forced = forced_parts
                status = advance_both(self, self.following, steps, seconds, used, &done)
        self.mark(False)
        leave_team()
        PyBuffer_Release(&b)
        if status == FN_RUN_NO_MEMORY:
            raise MemoryError("no memory for the kernels' scratch")
        if status == FN_RUN_DONE:
            word = "done"
        elif status == FN_RUN_TIME:
            word = "time"
        elif status == FN_RUN_CHECK:
            word = "check"
        else:
            word = "left"
        return word, done, self.run.record_count

    cdef int check_place(self) except -1:
        """Raise where the loop would leave the arrays, or is at work in another thread."""
        cdef const fn_cursor *at = self.run.cursor
        if self.walked:
            raise RuntimeError("a step of this training is under way in another thread; wanted one thread at a time")
        if (at.position < 0 or at.position >= self.run.rows or at.position % self.run.batch != 0 or at.epoch_step < 0
                or at.epoch_step >= self.run.steps_per_epoch or at.op < 0
                or at.op > self.run.program[self.run.rows - at.position < self.run.batch].count):
            raise ValueError(f"the cursor is at row {at.position}, step {at.epoch_step} of an epoch and op {at.op}, which "
                             f"a run of {self.run.rows} rows in batches of {self.run.batch}, {self.run.steps_per_epoch} "
                             "steps per epoch, never is")
        return 0

    cdef void mark(self, bint walked) noexcept:
        self.walked = walked
        if self.following is not None:
            self.following.walked = walked


cdef int advance_both(Run one, Run other, int64_t steps, double seconds, fn_team *used, int64_t *done) noexcept nogil:
    """fn_run_advance epoch by epoch, `other` after those that it follows."""
    cdef fn_run *run = &one.run
    cdef fn_run *after = &other.run
    cdef int64_t capacity = run.record_capacity
    cdef int status
    cdef int64_t ended, some
    after.record_count = 0
    done[0] = 0
    while True:
        if one.owes:
            if after.record_count == after.record_capacity:
                return FN_RUN_DONE
            some = after.record_count
            status = fn_run_advance(after, after.steps_per_epoch - after.cursor.epoch_step, seconds, used, &ended)
            if after.record_count > some:  # perhaps when time was over too
                seconds -= after.records[some * after.sum_count]
                one.owes = False
            if status != FN_RUN_DONE:
                return status
        if done[0] == steps or run.record_count == capacity:
            return FN_RUN_DONE
        ended = run.record_count
        run.record_capacity = ended + 1  # so that the loop comes back at the end of the epoch
        status = fn_run_advance(run, steps - done[0], seconds, used, &some)
        run.record_capacity = capacity
        run.scalars += some * run.scalar_count
        done[0] += some
        if run.record_count > ended:
            seconds -= run.records[ended * run.sum_count]  # at most: it may have begun in another call
            if run.cursor.epoch % one.every == 0:
                memset(after.cursor, 0, sizeof(fn_cursor))
                memset(after.sums, 0, sizeof(double) * <size_t>after.sum_count)
                one.owes = True
        if status != FN_RUN_DONE:
            return status


cdef int expect(str name, array, str kind, int64_t elements) except -1:
    flags = array.flags
    if (array.dtype.kind != kind or array.itemsize != 8 or not array.dtype.isnative or array.size != elements
            or not flags.c_contiguous or not flags.aligned):
        raise ValueError(f"{name} of shape {array.shape} and dtype {array.dtype}; wanted {elements} contiguous elements of "
                         f"{'int64' if kind == 'i' else 'float64'}")
    return 0


def shuffle(order, chosen, seed, int64_t number):
    """Write the order of pass `number` into `order` (int64); see fn_shuffle in csrc/include/run.h."""
    cdef Py_buffer b, c
    expect("order", order, "i", order.size)
    address_of(order, True, &b)
    c.buf = NULL
    if chosen is not None:
        expect("chosen", chosen, "i", order.size)
        address_of(chosen, False, &c)
    fn_shuffle(<int64_t *>b.buf, <const int64_t *>c.buf, order.size, <uint64_t>seed, number)


def sharing(costs, int64_t threads, int steps, seconds):
    """How a run would share out its phases (csrc/include/share.h), without running them. For tests.

    Parameters
    ----------
    costs : list of int
        Cycles of a program's phases.
    threads, steps : int
    seconds : callable
        ``seconds(step, parts)``: what a step takes whose phases are divided in `parts`, a list.

    Returns
    -------
    list of (list of int, bool)
        For each step the parts of the phases, and whether its time was asked for.
    """
    cdef fn_share share
    cdef fn_program program
    cdef fn_op *ops = <fn_op *>calloc(len(costs) + 1, sizeof(fn_op))
    cdef int step
    cdef bint measured
    if ops == NULL:
        raise MemoryError("no memory for ops")
    try:
        memset(&share, 0, sizeof(share))
        memset(&program, 0, sizeof(program))
        for i, cost in enumerate(costs):
            ops[i].work, ops[i].parts, ops[i].count = cost, threads, 1
        program.ops, program.count = ops, len(costs)
        fn_share_begin(&share, &program)
        taken = []
        for step in range(steps):
            parts = [fn_share_parts(&share, ops[i].work, threads) for i in range(len(costs))]
            measured = fn_share_measures(&share)
            fn_share_step(&share, seconds(step, parts) if measured else -1.0)
            taken.append((parts, measured))
        return taken
    finally:
        free(ops)
