"""A network's tick as an ONNX graph without the exporter's notes."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Sequence

import onnx
import torch
from torch import Tensor, nn

OPSET_VERSION = 18
IR_VERSION = 8  # the one that belongs to opset 18, so that older onnxruntimes load it
LAST_ACTION = "last_applied_action"  # its name in a graph


def trace_tick(
    step: nn.Module, examples: tuple[Tensor, ...], inputs: Sequence[str], outputs: Iterable[str]
) -> onnx.ModelProto:
    """Return the graph of a module's forward pass.

    Args:
        step: The module; it takes and gives tensors alone.
        examples: Its inputs, in shape and precision.
        inputs: Their names.
        outputs: Names of what it gives.
    """
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            step.eval(),
            examples,
            input_names=inputs,
            output_names=list(outputs),
            opset_version=OPSET_VERSION,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    return _clean(program.model_proto)


def _clean(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop the exporter's notes (stack traces with paths of this computer), pin the version."""
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version, model.doc_string = "snn_controller", "", ""
    del model.metadata_props[:]
    del model.graph.metadata_props[:], model.graph.value_info[:]
    model.graph.doc_string = ""
    for item in (*model.graph.node, *model.graph.input, *model.graph.output):
        del item.metadata_props[:]
        item.doc_string = ""
    for tensor in model.graph.initializer:
        del tensor.metadata_props[:]
        tensor.doc_string = ""
    onnx.checker.check_model(model)
    return model
