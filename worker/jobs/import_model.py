"""Imports a model that was trained elsewhere: a run of its own, made only if the weights fit."""

import io
import time
from contextlib import suppress

import torch
from sqlalchemy.exc import OperationalError

from densitylab.backend.shared import specs
from densitylab.backend.shared.artifacts import checked_location
from densitylab.backend.shared.catalog import ModelEntry
from densitylab.backend.shared.contracts import (
    ImportRequest,
    ModelInterface,
    NormalizationCheck,
    NormalizationTrial,
    RunSource,
    RunSpec,
    Status,
)
from densitylab.backend.shared.store import imports
from densitylab.worker import resolve
from densitylab.worker.importing import fitting, normalization_check, parts, reading, weights
from densitylab.worker.importing.errors import BadModelFile, UnfitFile
from densitylab.worker.importing.misfits import misfits
from densitylab.worker.importing.normalization_check import Check, Normalization
from densitylab.worker.jobs.context import Context
from densitylab.worker.jobs.data import Data, open_data_of_task
from densitylab.worker.jobs.device import choose_device, device_name, provenance, set_threads
from densitylab.worker.jobs.failures import JobFailed
from densitylab.worker.jobs.import_flags import import_flags
from densitylab.worker.jobs.misfits_answer import misfits_answer
from densitylab.worker.jobs.model_file import ModelFile, local_copy
from densitylab.worker.jobs.task_runner import run_task
from densitylab.worker.runtime.lease import Lease
from densitylab.worker.training import checkpoints

_NAMES = 1000  # of a file's other weights that are listed


def run(task_id: int) -> None:
    """Run the import task."""
    run_task(task_id, _import)


def _import(context: Context, lease: Lease) -> None:
    payload = lease.task.payload
    request = ImportRequest.model_validate(payload["request"])
    spec = RunSpec.model_validate(payload["spec"])
    continues = False
    try:
        set_threads(context, spec)
        data = open_data_of_task(context, lease, spec.dataset.key, spec.dataset.params)
        lease.report(stage="reading the file", progress=0.0)
        if payload["upload"] is None:
            network, interface, source = _published(context, spec, data, payload["file_name"])
        else:
            with local_copy(context, payload["upload"], payload["file_name"]) as file:
                network, interface, source = _from_file(context, lease, request, spec, data, file)
        _finish(context, lease, request, spec, data, network, interface, source)
    except BadModelFile as error:
        if isinstance(error, UnfitFile):
            with lease.writing() as session:
                imports.keep_misfits(session, lease.task.task_id, misfits_answer(error.misfits))
        raise JobFailed(f"{payload['file_name']} was not imported. {error}") from error
    except (OSError, OperationalError):
        continues = True  # another attempt may follow, which needs the file
        raise
    finally:
        stopped = lease.should_stop() and not lease.cancelled
        if payload["upload"] is not None and payload["inspection"] is None and not (continues or stopped):
            context.artifacts.delete(payload["upload"])


def _from_file(
    context: Context, lease: Lease, request: ImportRequest, spec: RunSpec, data: Data, file: ModelFile
) -> tuple[torch.nn.Module, ModelInterface, RunSource]:
    """Return the network with the file's weights, its interface without the normalisation, and where they come from."""
    content = reading.read(file.path, should_stop=lease.should_stop)
    interface = _with_classes(spec.interface or ModelInterface(), parts.class_names(content.value), data)
    network = _network(context, spec, data, interface)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    fit = fitting.best_fit(parts.chosen(content.value, request.weights_key), shapes)
    weights.require_numbers(fit.part.tensors.items())
    label = context.catalog.find(ModelEntry, spec.model.key).label
    problem = fitting.problem(
        fit, label, channels=data.entry.channels or 0, outputs=interface.outputs or data.entry.num_classes or 0
    )
    if problem is not None and not (request.partial and fit.matching):
        advice = (
            ""
            if request.partial
            else " Is it this network with other parameters, such as another width? Then state them. Turn on partial "
            "to load the weights that fit, and leave the others random."
        )
        raise UnfitFile(problem + (advice if fit.matching else ""), misfits(fit))
    weights.load(network, fit)
    source = RunSource(
        file_name=file.name,
        sha256=file.sha256,
        bytes=file.bytes,
        text=request.source,
        format=content.format,
        weights_key=fit.part.key,
        removed_prefix=fit.removed_prefix,
        missing=[*fit.missing, *(item.name for item in fit.wrong_shapes)],
        unexpected=_bounded(fit.unexpected),
    )
    return network, interface, source


def _bounded(names: list[str]) -> list[str]:
    """Return the first of the names, and instead of the others how many they are."""
    more = len(names) - _NAMES
    return [*names[:_NAMES], *([f"… and {more:,} more"] if more > 0 else [])]


def _published(
    context: Context, spec: RunSpec, data: Data, name: str
) -> tuple[torch.nn.Module, ModelInterface, RunSource]:
    """Return the network with the weights that its package publishes."""
    interface = spec.interface or ModelInterface()
    network = _network(context, spec, data, interface, published=True)
    return network, interface, RunSource(file_name=name, format="published weights")


def _network(
    context: Context, spec: RunSpec, data: Data, interface: ModelInterface, *, published: bool = False
) -> torch.nn.Module:
    torch.manual_seed(spec.seed)
    model = resolve.build_model(
        context.catalog,
        spec.model.key,
        spec.model.params,
        data.entry,
        interface=interface,
        weights_follow=not published,
    )
    network: torch.nn.Module = model[1]  # type: ignore[index]
    return network.eval()


def _with_classes(interface: ModelInterface, names: list[str], data: Data) -> ModelInterface:
    """Return the interface with the order of classes that the file's own class names give, unless it states one."""
    if interface.class_order is not None or interface.outputs is not None or not names:
        return interface
    order = specs.class_order(data.entry.class_names, names)
    if order is None:
        return interface
    same = order == list(range(len(names)))
    return interface.model_copy(update={"outputs": len(names), "class_order": None if same else order})


def _finish(
    context: Context,
    lease: Lease,
    request: ImportRequest,
    spec: RunSpec,
    data: Data,
    network: torch.nn.Module,
    interface: ModelInterface,
    source: RunSource,
) -> None:
    device = choose_device(spec.device)
    network.to(device)
    lease.report(stage="checking the normalisation")
    mean = data.entry.mean or tuple(data.info.mean)
    std = data.entry.std or tuple(data.info.std)
    declared = _declared(request, mean, std)
    usual = normalization_check.candidates(mean, std)
    ways = usual if declared is None else [declared, *(way for way in usual if not _same(way, declared))]
    stated = spec.interface or ModelInterface()
    by_names = request.class_order is None and (
        request.class_names is not None or interface.outputs != stated.outputs  # names of the request, or of the file
    )
    validation = data.load("validation")
    check = normalization_check.check(
        network,
        validation,
        ways,
        image_size=interface.image_size,
        class_order=interface.class_order,
        order_known=by_names,
        progress=lambda share: lease.report(progress=share),
        should_stop=lease.should_stop,
    )
    chosen = 0
    if declared is not None:
        chosen = next(index for index, trial in enumerate(check.trials) if trial.normalization is declared)
    way = check.trials[chosen].normalization
    interface = interface.model_copy(
        update={
            "mean": list(way.mean),
            "std": list(way.std),
            "channel_order": way.channel_order,
            "value_range": way.value_range,
        }
    )
    source = source.model_copy(update={"normalization_check": _answer(check, chosen)})
    model = resolve.build_model(
        context.catalog, spec.model.key, spec.model.params, data.entry, interface=interface, weights_follow=True
    )
    model[1].load_state_dict(network.cpu().state_dict())  # type: ignore[index]
    file = io.BytesIO()
    torch.save({"format": checkpoints.FORMAT, "weights": model.state_dict()}, file)
    staged = checked_location(f"models/{lease.task.task_id}-{lease.task.token}.pt", file.getvalue())
    size = context.artifacts.write(staged, file.getvalue())
    classes = data.entry.class_names or [str(index) for index in range(data.entry.num_classes or 2)]
    flags = import_flags(check, chosen, classes, source, interface.class_order)
    plugins = specs.plugins(context.catalog, specs.optional_entries(context.catalog, spec))
    try:
        with lease.writing() as session:
            imports.add_run(
                session,
                lease.task,
                spec=spec.model_copy(update={"interface": interface}),
                lambda_=request.lambda_,
                source=source,
                flags=flags,
                device=device_name(device),
                data_hash=data.info.data_hash,
                provenance={**lease.task.payload["provenance"], **provenance(device, plugins)},
                lines=[(time.time(), "info", line) for line in _log(source, network)],
                move=lambda location: context.artifacts.move(staged, location),
                staged=staged,
                size=size,
                parameter_names=[name for name, _ in network.named_parameters()],
            )
            lease.finish(session, Status.SUCCEEDED)
    except BaseException as error:
        with suppress(OSError):
            context.artifacts.delete(staged)
        if isinstance(error, imports.NoPlace):
            raise JobFailed(str(error)) from error
        raise


def _declared(request: ImportRequest, mean: tuple[float, ...], std: tuple[float, ...]) -> Normalization | None:
    """Return the normalisation that the request states; None if it is to be found."""
    turn = 1 if request.channel_order == "rgb" else -1
    suffix = (", BGR" if turn < 0 else "") + (", 0 to 255" if request.value_range == "byte" else "")
    if request.normalization is not None:
        statistics = normalization_check.statistics(mean, std).get(request.normalization)
        if statistics is None:
            raise JobFailed(
                f"The normalisation {request.normalization} is of 3 channels, and the images have {len(mean)}."
            )
        scale = 255 if request.value_range == "byte" else 1
        given = [tuple(scale * value for value in values[::turn]) for values in (statistics.mean, statistics.std)]
        name, label = str(request.normalization), statistics.label
        if request.normalization == "none":
            given[1] = statistics.std  # values as they are
    elif request.mean is not None and request.std is not None:
        name, label, given = "given", "the given mean and deviation", [tuple(request.mean), tuple(request.std)]
    else:
        return None
    return Normalization(name, f"{label}{suffix}", given[0], given[1], request.channel_order, request.value_range)


def _same(way: Normalization, other: Normalization) -> bool:
    return (way.mean, way.std, way.channel_order, way.value_range) == (
        other.mean,
        other.std,
        other.channel_order,
        other.value_range,
    )


def _answer(check: Check, chosen: int) -> NormalizationCheck:
    trials = []
    for trial in check.trials:
        low, high = trial.interval
        way = trial.normalization
        trials.append(
            NormalizationTrial(
                name=way.name,
                label=way.label,
                mean=list(way.mean),
                std=list(way.std),
                channel_order="bgr" if way.channel_order == "bgr" else "rgb",
                value_range="byte" if way.value_range == "byte" else "unit",
                n=len(trial.correct),
                accuracy=trial.accuracy,
                low=low,
                high=high,
            )
        )
    decided = check.decided and chosen == 0
    summary = check.summary if chosen == 0 else f"Declared: {trials[chosen].label}. Best by accuracy: {check.summary}"
    n = len(check.trials[chosen].correct)
    return NormalizationCheck(chosen=chosen, decided=decided, summary=summary, split="validation", n=n, trials=trials)


def _log(source: RunSource, network: torch.nn.Module) -> list[str]:
    parameters = sum(parameter.numel() for parameter in network.parameters())
    file = f"{source.file_name}, {source.format}" + (f", SHA-256 {source.sha256}" if source.sha256 else "")
    lines = [f"imported {file}", f"{parameters:,} parameters"]
    if source.removed_prefix:
        lines.append(f"removed {source.removed_prefix!r} from the names of the weights")
    if source.normalization_check is not None:
        lines.append(source.normalization_check.summary)
    return lines
