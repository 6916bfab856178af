"""From the trainable network to an encoder folder."""

import logging
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from siamese_search.encoder.folder import GRAPH, WEIGHTS, graph_fingerprint, write_spec
from siamese_search.encoder.network import EncoderNetwork
from siamese_search.encoder.spec import EncoderSpec
from siamese_search.errors import EncoderError


def save_encoder(network: EncoderNetwork, spec: EncoderSpec, folder: Path) -> EncoderSpec:
    """Write weights (half precision), inference graph and description; return the description with its fingerprint."""
    folder.mkdir(parents=True, exist_ok=True)
    halved = {
        name: value.half().contiguous() if value.is_floating_point() else value.contiguous()
        for name, value in network.cpu().state_dict().items()
    }
    save_file(halved, folder / WEIGHTS)
    # The graph computes with the weights that were saved, so that both give the same embeddings.
    network.load_state_dict({n: v.float() if v.is_floating_point() else v for n, v in halved.items()})
    write_graph(network, spec, folder / GRAPH)
    spec = replace(spec, fingerprint=graph_fingerprint(folder))
    write_spec(folder, spec)
    return spec


def write_graph(network: EncoderNetwork, spec: EncoderSpec, path: Path) -> None:
    """Write the network as ONNX: uint8 pixels (n, s, s, c) in, embeddings (n, dim) out, weights in half precision."""
    try:
        import onnx  # noqa: PLC0415
        import onnxscript  # noqa: F401, PLC0415
    except ImportError as error:
        raise EncoderError("saving an encoder needs onnx: pip install 'siamese-search[train]'") from error
    network = network.eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    example = torch.zeros(2, spec.input_size, spec.input_size, spec.channels, dtype=torch.uint8)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            input_names=["pixels"],
            output_names=["embeddings"],
            dynamic_shapes=({0: torch.export.Dim("n", min=1, max=4096)},),
            verbose=False,
        )
    if program is None:
        raise EncoderError(f"{path}: torch gave no graph")
    model = program.model_proto
    halve_weights(model.graph)
    forget_origins(model)
    onnx.checker.check_model(model)
    temporary = path.with_suffix(".tmp")
    onnx.save(model, temporary)
    temporary.replace(path)


def forget_origins(model: Any) -> None:
    """Remove what the exporter notes beside each node: stack traces, and with them the paths of this machine."""
    for part in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


def halve_weights(graph: object) -> None:
    """Store large float weights as float16 and cast them back when the graph is loaded: half the bytes, same math."""
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415

    casts = []
    for weight in graph.initializer:  # type: ignore[attr-defined]
        if weight.data_type != TensorProto.FLOAT or len(weight.raw_data) < 1024:  # noqa: PLR2004
            continue
        name = weight.name
        half = numpy_helper.from_array(numpy_helper.to_array(weight).astype("float16"), f"{name}.half")
        weight.CopyFrom(half)
        casts.append(helper.make_node("Cast", [half.name], [name], to=TensorProto.FLOAT))
    for cast in reversed(casts):
        graph.node.insert(0, cast)  # type: ignore[attr-defined]
