"""ONNX Runtime, for inference: the network as MatMul, Add, Tanh or Relu."""

from __future__ import annotations

import numpy as np

from benchmarks.timing import Contender
from benchmarks.workloads import Workload

NAME = "onnxruntime"
_threads = 1


def version() -> str:
    import onnx  # noqa: F401  it writes the model
    import onnxruntime

    return onnxruntime.__version__


def set_threads(n: int) -> None:
    global _threads
    _threads = n


def _model(w: Workload) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    element = TensorProto.FLOAT if w.dtype == "float32" else TensorProto.DOUBLE
    nodes, constants, name = [], [], "x"
    for i, (weight, bias) in enumerate(w.weights):
        constants += [numpy_helper.from_array(weight, f"w{i}"), numpy_helper.from_array(bias, f"b{i}")]
        nodes.append(helper.make_node("Gemm", [name, f"w{i}", f"b{i}"], [f"z{i}"]))
        name = f"z{i}"
        if i < len(w.weights) - 1:
            nodes.append(helper.make_node(w.activation.capitalize(), [name], [f"a{i}"]))
            name = f"a{i}"
    made = helper.make_graph(
        nodes, "mlp",
        [helper.make_tensor_value_info("x", element, ["B", w.sizes[0]])],
        [helper.make_tensor_value_info(name, element, ["B", w.sizes[-1]])],
        constants,
    )  # fmt: skip
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def inference(w: Workload) -> dict[str, Contender]:
    import onnxruntime

    if w.activation not in ("tanh", "relu"):
        return {}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = _threads, 1, 3
    session = onnxruntime.InferenceSession(_model(w), options, providers=["CPUExecutionProvider"])
    feed = {"x": w.data[0]}

    def run(k: int) -> float:
        for _ in range(k):
            (out,) = session.run(None, feed)
        return float(np.abs(out).sum())

    return {NAME: Contender(run)}
