"""From the trainable network to an encoder folder."""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from siamese_search.atomic import whole_file
from siamese_search.encoder.folder import GRAPH, WEIGHTS, encoder_fingerprint, write_spec
from siamese_search.encoder.network import EncoderNetwork
from siamese_search.encoder.spec import EncoderSpec
from siamese_search.errors import EncoderError


def save_encoder(network: EncoderNetwork, spec: EncoderSpec, folder: Path) -> EncoderSpec:
    """Write weights, inference graph and description; return the description with its fingerprint.

    Matrices and kernels are written in half precision. The network goes on with what was written, as the graph does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = {
        name: (value.half() if value.is_floating_point() and value.ndim > 1 else value).contiguous()
        for name, value in network.cpu().state_dict().items()
    }
    (folder / WEIGHTS).write_bytes(save(written))
    network.load_state_dict(written)
    write_graph(network, spec, folder)
    spec = replace(spec, fingerprint=encoder_fingerprint(folder))
    write_spec(folder, spec)
    return spec


def write_graph(network: EncoderNetwork, spec: EncoderSpec, folder: Path) -> None:
    """Write the network as ONNX: uint8 pixels (n, s, s, c) in, embeddings (n, dim) out, weights as written before."""
    try:
        import onnx  # noqa: PLC0415
        from onnxscript import optimizer  # noqa: PLC0415
    except ImportError as error:
        raise EncoderError("saving an encoder needs onnx: pip install 'siamese-search[train]'") from error
    network = network.eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    example = torch.zeros(2, spec.input_size, spec.input_size, spec.channels, dtype=torch.uint8)
    with warnings.catch_warnings(), _silent("torch.onnx"):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            input_names=["pixels"],
            output_names=["embeddings"],
            dynamic_shapes=({0: torch.export.Dim("n", min=1, max=4096)},),
            optimize=False,  # which would fold batch norms into kernels: ONNX Runtime does, and then the weights stay
            verbose=False,
        )
    if program is None:
        raise EncoderError(f"{folder}: torch gave no graph")
    optimizer.inline(program.model)
    optimizer.fold_constants(program.model)
    optimizer.remove_unused_nodes(program.model)
    model = program.model_proto
    refer_to_weights(model.graph, folder / WEIGHTS)
    forget_origins(model)
    with whole_file(folder / GRAPH) as half:
        onnx.save(model, half)
        onnx.checker.check_model(half)


@contextmanager
def _silent(name: str) -> Iterator[None]:
    """Keep a logger's warnings back, in this block."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def forget_origins(model: Any) -> None:
    """Remove what the exporter notes beside each node: stack traces, and with them the paths of this machine."""
    for part in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


def refer_to_weights(graph: Any, weights: Path) -> None:
    """Let the graph read its weights where they are written already, cast to single precision when it is loaded.

    A safetensors file is the length of its header in 8 bytes, the header as JSON, and the plain numbers that it lists.
    """
    from onnx import TensorProto, helper  # noqa: PLC0415

    data = weights.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    written = json.loads(data[8:start])
    casts = []
    for weight in graph.initializer:
        if weight.name not in written:  # a constant of the graph's own
            continue
        entry, name = written[weight.name], weight.name
        first, end = entry["data_offsets"]
        half = entry["dtype"] == "F16"
        weight.Clear()
        weight.name = f"{name}.half" if half else name
        weight.dims.extend(entry["shape"])
        weight.data_type = TensorProto.FLOAT16 if half else TensorProto.FLOAT
        weight.data_location = TensorProto.EXTERNAL
        for key, value in (("location", weights.name), ("offset", start + first), ("length", end - first)):
            weight.external_data.add(key=key, value=str(value))
        if half:
            casts.append(helper.make_node("Cast", [weight.name], [name], to=TensorProto.FLOAT))
    for cast in reversed(casts):
        graph.node.insert(0, cast)
