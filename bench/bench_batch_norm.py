"""Batch normalisation: statistics, apply, and the two passes of backward, plain and with relu fused."""

from jobs import DTYPES, TARGETS, flat, matrix

from fusednet.backends.table import Activation

COLUMNS = 256


def jobs(levels: dict[str, int], threads: int):
    for dtype in DTYPES:
        for level, total in levels.items():

            def job(kernel, name="", kind=Activation.LINEAR, absent=(), level=level, total=total, dtype=dtype):
                return matrix(
                    kernel, level, total, dtype, COLUMNS, parameters={"epsilon": 1e-3, "kind": int(kind)}, name=name,
                    absent=frozenset(absent), share=TARGETS[level],
                )

            yield job("batch_norm_stats")
            yield job("batch_norm_fwd", absent="z")
            yield job("batch_norm_fwd", "relu", Activation.RELU, absent="z")
            yield job("batch_norm_bwd_reduce", absent="s")
            yield job("batch_norm_bwd_reduce", "relu", Activation.RELU)
            yield job("batch_norm_bwd_dx", absent="s")
            yield job("batch_norm_bwd_dx", "relu", Activation.RELU)
        yield flat("batch_norm_join", "L2", levels["L2"], dtype, parameters={"share": 0.5}, share=TARGETS["L2"])
        parameters = {"momentum": 0.9, "var_factor": 1.0}
        yield flat("batch_norm_running", "L2", levels["L2"], dtype, parameters=parameters, share=TARGETS["L2"])


def bench_batch_norm(job, measure):
    measure(job)
