"""The computation as an ONNX graph."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

from densitylab.backend.shared.contracts import ModelConfig
from densitylab.worker.export_formats.export_format import Format, Logits, MissingPackage

PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def write(model: torch.nn.Module, images: torch.Tensor, path: Path) -> None:
    """Store the graph, with an input `images` of any batch size and an output `logits`.

    Raises:
        MissingPackage: a package of the extra `export` is not installed.
    """
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise MissingPackage(package)
    program = torch.onnx.export(
        model,
        (images,),
        dynamo=True,
        verbose=False,
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=({0: "batch"},),
    )
    assert program is not None  # of the exporter that `dynamo` chooses
    program.save(path)


def read(path: Path, config: ModelConfig) -> Logits:
    """Return what runs the graph on the CPU with ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def logits(images: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(session.run(["logits"], {"images": images.numpy()})[0])

    return logits


FORMAT = Format(write, read, tolerance=1e-4)
