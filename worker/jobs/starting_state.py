"""The state that an attempt trains from: the run's own checkpoint, another run's state or weights, or new weights."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from densitylab.backend.shared import parameter_patterns, specs
from densitylab.backend.shared.artifacts import DamagedFile
from densitylab.backend.shared.contracts import InitFrom, Run
from densitylab.backend.shared.store import run_artifacts, runs
from densitylab.worker import resolve
from densitylab.worker.algorithms.algorithm import Algorithm
from densitylab.worker.jobs.checkpointing import remove_orphans
from densitylab.worker.jobs.context import Context
from densitylab.worker.jobs.data import Data
from densitylab.worker.jobs.failures import JobFailed
from densitylab.worker.runtime.lease import Lease
from densitylab.worker.training import checkpoints
from densitylab.worker.training.freezing import freeze
from densitylab.worker.training.state import OtherTraining, TrainingState
from densitylab.worker.training.warm_start import UnfitWeights, WarmStart, head_of, load_fitting, scale_learning_rate

_PREFIX = "1."  # of the network's weights: the normalisation is in front of it
_LISTED = 6  # names in a line of the log

_New = Callable[..., TrainingState]


@dataclass(frozen=True)
class Start:
    """Starting point of an attempt."""

    state: TrainingState
    lines: list[tuple[str, str]] = field(default_factory=list)  # of the log: (level, text)
    continued: Run | None = None  # the run whose curves precede this one's; None: they are there, or there are none
    provenance: dict[str, Any] = field(default_factory=dict)  # what is known of the source now; empty: nothing new


def starting_state(
    context: Context,
    lease: Lease,
    record: Run,
    data: Data,
    device: torch.device,
    algorithm: Callable[[], Algorithm],
) -> Start:
    """Return the state of the newest checkpoint of the run that can be used; else that of the run that it continues,
    or a new one, with the weights of the run that it starts from; `algorithm` makes the run's algorithm.

    Raises:
        JobFailed: the other run's checkpoint is gone, is another one than at the launch, or does not fit.
    """

    def new(*, weights_follow: bool = False, load: Callable[[torch.nn.Module], None] = lambda _: None) -> TrainingState:
        return _new_state(context, record, data, device, algorithm(), weights_follow=weights_follow, load=load)

    own, lines = _own_checkpoint(context, lease, record, new)
    init_from = record.spec.init_from
    if own is not None:
        return Start(own, lines)
    if init_from is None:
        return Start(new(), lines)
    source, content, about = _source(context, record, init_from)
    if init_from.mode == "continue":
        state = _continued(source, content, data, new)
        text = f"continues run {source.id} from its checkpoint of step {state.step}"
        return Start(state, [*lines, ("info", text)], source, about)
    state, started = _with_weights(source, content, init_from, data, new)
    frozen = [name for name, parameter in _network(state.model).named_parameters() if not parameter.requires_grad]
    after = f", step {about['step']}" if about["step"] else ""
    texts = [f"starts from the weights of run {source.id}{after}: {len(started.loaded)} tensors are loaded"]
    if started.not_loaded:
        texts.append(f"not loaded, drawn anew: {_listed(started.not_loaded)}")
    if frozen:
        texts.append(f"frozen, {len(frozen)} parameters: {_listed(frozen)}")
    about |= {"loaded": len(started.loaded), "not_loaded": started.not_loaded, "frozen": frozen}
    return Start(state, [*lines, *(("info", text) for text in texts)], None, about)


def _new_state(
    context: Context,
    record: Run,
    data: Data,
    device: torch.device,
    algorithm: Algorithm,
    *,
    weights_follow: bool,
    load: Callable[[torch.nn.Module], None],
) -> TrainingState:
    """Return a new state of the run's spec; `load` gets the model before the optimizer is built."""
    spec, init_from = record.spec, record.spec.init_from

    def build_model() -> torch.nn.Module:
        model = resolve.build_model(
            context.catalog,
            spec.model.key,
            spec.model.params,
            data.entry,
            interface=spec.interface,
            weights_follow=weights_follow,
        )
        load(model)
        if init_from is not None:
            freeze(_network(model), _frozen(model, init_from.freeze))
        return model

    state = TrainingState.new(
        seed=spec.seed,
        device=device,
        threads=specs.cpu_threads(context.catalog, spec, context.settings.threads),
        ema_decay=spec.ema_decay,
        algorithm=algorithm,
        build_model=build_model,
        build_optimizer=lambda parameters: resolve.build_optimizer(
            context.catalog, spec.optimizer.key, spec.optimizer.params, parameters
        ),
    )
    if init_from is not None and init_from.head_learning_rate_factor is not None:
        head = _head(state.model, data)
        if head is None:
            raise JobFailed("The model has no last linear layer, so there is no head_learning_rate_factor of it.")
        layer = _network(state.model).get_submodule(head)
        scale_learning_rate(state.optimizer, layer.parameters(), init_from.head_learning_rate_factor)
    return state


def _frozen(model: torch.nn.Module, patterns: list[str]) -> list[str]:
    """Return the names of the parameters that match. Raises JobFailed where one pattern matches none, or all match."""
    names = parameter_names(model)
    if (problem := parameter_patterns.problem(names, patterns)) is not None:
        raise JobFailed(problem)
    return parameter_patterns.matching(names, patterns)


def _own_checkpoint(
    context: Context, lease: Lease, record: Run, new: _New
) -> tuple[TrainingState | None, list[tuple[str, str]]]:
    """Return the state of the run's newest checkpoint that can be used. Forget the others, with a warning for each."""
    init_from = record.spec.init_from
    beginning = "from scratch" if init_from is None else f"from run {init_from.run} again"
    with context.database.read() as session:
        stored = run_artifacts.artifact(session, record.id, run_artifacts.CHECKPOINT)
    warnings = []
    state = None
    while stored is not None and state is None:
        state = new(weights_follow=True)
        try:
            checkpoints.load(context.artifacts.read(stored.location), state)
        except (checkpoints.CorruptCheckpoint, OtherTraining, DamagedFile, FileNotFoundError) as error:
            state, step = None, stored.step
            with lease.writing() as session:
                stored = run_artifacts.discard_checkpoint(session, record.id)
            instead = beginning if stored is None else f"from the one of step {stored.step}"
            text = f"the checkpoint of step {step} can't be used, so training starts {instead}: {_reason(error)}"
            warnings.append(("warning", text))
    with context.database.read() as session:
        kept = run_artifacts.checkpoint_locations(session, record.id)
    remove_orphans(context, record.id, token=lease.task.token, keep=kept)
    return state, warnings


def _source(context: Context, record: Run, init_from: InitFrom) -> tuple[Run, bytes, dict[str, Any]]:
    """Return the run to start from, its checkpoint's content, and what provenance says of it."""
    with context.database.read() as session:
        source = runs.get(session, init_from.run)
        stored = run_artifacts.artifact(session, init_from.run, run_artifacts.CHECKPOINT)
    if source is None or stored is None:
        what = "is deleted" if source is None else "has no checkpoint any more"
        raise JobFailed(f"Run {init_from.run}, which this run starts from, {what}: launch it from another run.")
    launched = record.provenance.get("init_from", {})
    if launched.get("step") != stored.step:
        raise JobFailed(
            f"Run {source.id} has trained on since this run was launched: its checkpoint is of step {stored.step}, "
            f"not {launched.get('step')}. Launch this run again."
        )
    try:
        content = context.artifacts.read(stored.location)
    except (DamagedFile, FileNotFoundError) as error:
        raise JobFailed(f"The checkpoint of run {source.id} can't be used: {_reason(error)}.") from error
    digest = hashlib.sha256(content).hexdigest()
    if launched.get("sha256") not in (None, digest):
        raise JobFailed(
            f"The checkpoint of run {source.id} has been replaced since this run was launched, by another one of step "
            f"{stored.step}. Launch this run again."
        )
    return source, content, {**launched, "sha256": digest}


def _continued(source: Run, content: bytes, data: Data, new: _New) -> TrainingState:
    if source.provenance.get("data_hash") not in (None, data.info.data_hash):
        raise JobFailed(
            f"Run {source.id} was trained on other images than are prepared now: start from its weights instead."
        )
    state = new(weights_follow=True)
    try:
        checkpoints.load(content, state)
    except (checkpoints.CorruptCheckpoint, OtherTraining) as error:
        raise JobFailed(f"Run {source.id} can't be continued: {error}.") from error
    return state


def _with_weights(
    source: Run, content: bytes, init_from: InitFrom, data: Data, new: _New
) -> tuple[TrainingState, WarmStart]:
    started: list[WarmStart] = []

    def load(model: torch.nn.Module) -> None:
        saved = checkpoints.read_weights(content)
        own = {name.removeprefix(_PREFIX): value for name, value in saved.items() if name.startswith(_PREFIX)}
        started.append(load_fitting(_network(model), own, head=_head(model, data), choice=init_from.head))

    try:
        state = new(weights_follow=True, load=load)
    except (checkpoints.CorruptCheckpoint, UnfitWeights) as error:
        raise JobFailed(f"The weights of run {source.id} can't be used: {error}.") from error
    return state, started[0]


def _network(model: torch.nn.Module) -> torch.nn.Module:
    """Return the catalog's network within a model, by whose names weights are loaded and frozen."""
    return model.get_submodule(_PREFIX.removesuffix("."))


def parameter_names(model: torch.nn.Module) -> list[str]:
    """Return the names of the parameters of the catalog's network within a model."""
    return [name for name, _ in _network(model).named_parameters()]


def _head(model: torch.nn.Module, data: Data) -> str | None:
    height, width = data.entry.image_size or (1, 1)
    device = next(model.parameters()).device
    return head_of(model, _network(model), torch.zeros(2, data.entry.channels or 1, height, width, device=device))


def _reason(error: Exception) -> object:
    return "its file is missing" if isinstance(error, FileNotFoundError) else error


def _listed(names: list[str]) -> str:
    rest = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {rest} more" if rest > 0 else "")
