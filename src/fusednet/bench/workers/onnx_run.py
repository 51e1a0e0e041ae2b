"""ONNX Runtime: prediction only, of the network as a graph of `Gemm` and activations. Run by worker.py."""

import adapter
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh"}


def graph(task: adapter.Task) -> onnx.ModelProto:
    nodes, arrays, name, last = [], [], "x", len(task.kernels) - 1
    for i, kernel in enumerate(task.kernels):
        arrays += [numpy_helper.from_array(kernel, f"w{i}")]
        arrays += [numpy_helper.from_array(np.zeros(kernel.shape[1], np.float32), f"b{i}")]
        nodes.append(helper.make_node("Gemm", [name, f"w{i}", f"b{i}"], ["y" if i == last else f"z{i}"]))
        if i < last:
            nodes.append(helper.make_node(ACTIVATIONS[task.activation], [f"z{i}"], [f"a{i}"]))
        name = f"a{i}"
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", task.features])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", task.outputs])
    made = helper.make_graph(nodes, "network", [x], [y], arrays)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


class Library(adapter.Library):
    package = "onnxruntime"

    def refusal(self, task):
        return "no batch norm here" if task.batch_norm else ""

    def prepare(self, task):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = task.threads
        options.inter_op_num_threads = 1
        model = graph(task).SerializeToString()
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def predict(self, x):
        return self.session.run(None, {"x": x})[0]
