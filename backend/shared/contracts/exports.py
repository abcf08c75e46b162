"""Models to take away: the files of an export, and the config.json from which a network is built again."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from densitylab.backend.shared.contracts.fields import ImageSize, Request
from densitylab.backend.shared.contracts.spec import Component, ModelInterface


class ExportFormat(StrEnum):
    """A format of an exported model."""

    SAFETENSORS = "safetensors"
    ONNX = "onnx"
    TORCH_EXPORT = "torch_export"

    @property
    def file_name(self) -> str:
        """Return the name of its file in an export."""
        return _FILE_NAMES[self]


_FILE_NAMES = {
    ExportFormat.SAFETENSORS: "model.safetensors",
    ExportFormat.ONNX: "model.onnx",
    ExportFormat.TORCH_EXPORT: "model.pt2",
}


class ExportRequest(Request):
    """Files to make of a run's model."""

    formats: list[Annotated[ExportFormat, Field(strict=False)]] = Field(
        default_factory=lambda: list(ExportFormat),
        min_length=1,
        max_length=len(ExportFormat),
        description="formats of the files",
    )


class ModelPlugin(Request):
    """The package that a model's network comes from."""

    package: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)] = Field(
        description="name of the package"
    )
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9.+!_-]*$", max_length=100)] = Field(
        description="its version when the run was launched"
    )


_Number = Annotated[float, Field(ge=-1e6, le=1e6)]
_ClassName = Annotated[str, Field(max_length=200)]


class ModelConfig(Request):
    """Description of a run's network from which `densitylab.load_model` builds it: the config.json of an export."""

    format: Literal["densitylab"] = Field(default="densitylab", description="kind of the file")
    format_version: int = Field(default=1, ge=1, description="version of the layout; a later one has other fields")
    densitylab_version: Annotated[str, Field(max_length=100)] = Field(description="version that wrote the file")
    run: int = Field(description="number of the run, in the system that wrote the file")
    spec_hash: Annotated[str, Field(max_length=64)] = Field(description="hash of the run's spec; empty: not known")
    model: Component = Field(description="network: key in the catalog, and every parameter")
    plugin: ModelPlugin | None = Field(default=None, description="package of the network; null: DensityLab itself")
    channels: int = Field(ge=1, le=64, description="channels of an image")
    image_size: ImageSize = Field(description="height and width of an image in pixels")
    num_classes: int = Field(ge=2, le=100_000, description="number of classes, which is that of the logits")
    class_names: Annotated[list[_ClassName], Field(max_length=100_000)] = Field(
        default_factory=list, description="names in the order of the logits; empty: not known"
    )
    mean: Annotated[list[_Number], Field(max_length=64)] = Field(
        default_factory=list, description="subtracted from images in [0, 1] by the model's first layer, per channel"
    )
    std: Annotated[list[_Number], Field(max_length=64)] = Field(
        default_factory=list, description="divided by, per channel"
    )
    interface: ModelInterface | None = Field(
        default=None, description="other conventions of an imported network; null: none"
    )
    weights_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        default=None, description="hash of model.safetensors; null: not exported yet"
    )
