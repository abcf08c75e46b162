"""A run that a training loop of one's own logs to."""

import atexit
import copy
import itertools
import os
import threading
import time
import warnings
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing import util
from types import TracebackType
from typing import Any, Self

from densitylab.backend.shared.contracts import (
    MAX_POINTS_PER_REQUEST,
    UNKNOWN_MODEL,
    ImportRequest,
    Run,
    Status,
)
from densitylab.frontend.client.clients import ApiClient, connect
from densitylab.frontend.client.errors import ApiError
from densitylab.frontend.client.logged_values import (
    component,
    curve_name,
    finite_number,
    positive_epoch,
    settings,
    whole_step,
)
from densitylab.frontend.client.weights_file import weights_file

SECONDS_BETWEEN_REQUESTS = 0.5
LONGEST_PAUSE = 10.0  # seconds between two attempts while the API is away
EXIT_SECONDS = 10.0  # for which the end of the process waits for the last points
LONGEST_ERROR = 4000  # characters, as the API has it


class RunCancelled(Exception):
    """Somebody cancelled the run that a training loop logs to."""


class LoggedRun:
    """A run that is trained by the caller. `log` stores points, `finish`, `fail` or the end of a `with` block ends it.

    Points are sent in the background, at most twice a second. While the API is away they are kept, and sent once it is
    back; a point that arrives twice is stored once. A copy in another process, by fork or pickle, sends its own points
    to the same run: give each process names or steps of its own, or log in one of them.

    Attributes:
        id: number of the run.
        should_stop: whether somebody cancelled it.
    """

    def __init__(self, client: ApiClient, run: int, *, step: int = -1, seconds: float = 0.0) -> None:
        """
        Args:
            client: of the API that has the run.
            run: number of the run.
            step: the last one, which `log` counts on from.
            seconds: of training so far.
        """
        self.id = run
        self.should_stop = False
        self._client = client
        self._began = time.monotonic() - seconds
        self._step = step
        self._made_in = os.getpid()
        self._start_process()

    def _start_process(self) -> None:
        """Begin in this process: without the points, the locks and the connection of the one that was forked."""
        self._pid = os.getpid()
        self._client = copy.copy(self._client)  # a connection of its own, which nobody else closes
        self._points: deque[dict[str, Any]] = deque()
        self._refusal: ApiError | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._sender: threading.Thread | None = None

    def _enter_process(self) -> None:
        """Begin anew if this is a fork of the process that began."""
        if self._pid != os.getpid():
            self._start_process()

    def __reduce__(self) -> tuple[Any, ...]:
        return _attached, (self._client, self.id, self._step, time.monotonic() - self._began)

    def __repr__(self) -> str:
        return f"<LoggedRun {self.id} at {self._client.url}>"

    @property
    def url(self) -> str:
        """Return the run's address in the API."""
        return f"{self._client.public_url}/api/v1/runs/{self.id}"

    def log(
        self,
        values: Mapping[str, Any] | None = None,
        /,
        *,
        step: int | None = None,
        epoch: float | None = None,
        **more: Any,
    ) -> None:
        """Store values of curves at a step. It returns at once.

        Args:
            values: by name, for names that are no Python names, such as "validation/accuracy".
            step: optimizer steps so far; by default one more than in the call before.
            epoch: the same in epochs, for progress and axes.
            more: values by name. A value that is not finite is stored as a warning of the run.

        Raises:
            RunCancelled: somebody cancelled the run; inside a `with` block the run then ends as cancelled.
            ValueError, TypeError: a name, a value or the step is none.
        """
        self._enter_process()
        if self.should_stop:
            raise RunCancelled(f"Run {self.id} was cancelled.")
        if self._closed:
            raise ValueError(f"run {self.id} is finished: retry it in the lab to log on")
        step = self._step + 1 if step is None else whole_step(step)
        points = [
            {
                "name": curve_name(name),
                "step": step,
                "value": finite_number(name, value),
                "epoch": None if epoch is None else positive_epoch(epoch),
                "seconds": time.monotonic() - self._began,
            }
            for name, value in {**(values or {}), **more}.items()
        ]
        self._step = step
        with self._changed:
            if self._refusal is not None:
                return  # warned about already, and `finish` raises it
            self._points.extend(points)
            if self._sender is None:
                self._sender = threading.Thread(target=self._send, name=f"log of run {self.id}", daemon=True)
                self._sender.start()
                _at_exit(self)
            self._changed.notify_all()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until the points are stored; return whether they are.

        Args:
            timeout: seconds; None: as long as it takes.

        Raises:
            ApiError: the API refused points.
        """
        self._enter_process()
        with self._changed:
            self._changed.wait_for(lambda: not self._points or self._sender is None, timeout)
            if self._refusal is not None:
                raise self._refusal
            return not self._points

    def finish(
        self,
        model: Any = None,
        *,
        network: str | Mapping[str, Any] | None = None,
        evaluations: Sequence[str | Mapping[str, Any]] = (),
        normalization: str | None = None,
        timeout: float = 600.0,
    ) -> Run:
        """End the run as succeeded, once its points are stored; with weights, it can be evaluated as any other.

        Args:
            model: the trained module, or the path of a file of its weights; None: the run has none.
            network: entry of the catalog that has these weights; default: the `model` that `log_run` named.
            evaluations: to run on the weights, beside accuracy: keys of the catalog, or keys with params.
            normalization: of the module's images: "imagenet", "dataset", "none" (images in [0, 1]) or "half"; None:
                the one under which it is most accurate on validation images.
            timeout: seconds for which to wait for the import of the weights, and for an API that is away.

        Raises:
            ApiError: the API refuses, or does not answer in time: call it again. If the weights do not fit the
                network, the run is finished without them, and the error says which.
            TimeoutError: the weights are not imported in time; that goes on.
        """
        problem: Exception | None = None
        if model is not None:
            self.flush(timeout)
            try:
                self._store_weights(model, network, evaluations, normalization, timeout)
            except (ApiError, TimeoutError) as error:
                problem = error
        run = self._end({"status": "succeeded"}, timeout)
        if problem is not None:
            raise problem
        return run

    def _store_weights(
        self,
        model: Any,
        network: str | Mapping[str, Any] | None,
        evaluations: Sequence[str | Mapping[str, Any]],
        normalization: str | None,
        timeout: float,
    ) -> None:
        run = self._client.run(self.id)
        if network is None and run.spec.model.key == UNKNOWN_MODEL:
            raise ApiError(
                0,
                f"Run {self.id} names no network of the catalog for its weights: give `network`, such as "
                'finish(model, network="cnn").',
            )
        request = ImportRequest.model_validate(
            {
                "run": self.id,
                "dataset": run.spec.dataset.model_dump(),
                "model": run.spec.model.model_dump() if network is None else component(network),
                "evaluations": [component(item) for item in evaluations],
                "normalization": normalization,
            }
        )
        deadline = time.monotonic() + timeout
        with weights_file(model) as (file, name):
            task = self._client.request_import(request, file, name)
        while not task.status.final:
            if time.monotonic() > deadline:
                raise TimeoutError(f"The weights of run {self.id} are not imported after {timeout:g} s. It goes on.")
            time.sleep(SECONDS_BETWEEN_REQUESTS)
            task = self._client.task(task.id)
        if task.status is not Status.SUCCEEDED:
            raise ApiError(0, task.error or "The import of the weights was cancelled.")

    def fail(self, reason: str, *, timeout: float = 60.0) -> Run:
        """End the run as failed."""
        return self._end({"status": "failed", "error": reason[:LONGEST_ERROR] or "no reason was given"}, timeout)

    def cancel(self, *, timeout: float = 60.0) -> Run:
        """End the run as cancelled."""
        return self._end({"status": "cancelled"}, timeout)

    def _end(self, request: dict[str, Any], timeout: float) -> Run:
        deadline = time.monotonic() + timeout
        if not self.flush(timeout):
            raise ApiError(0, f"The API does not answer: {len(self._points)} points of run {self.id} are not stored.")
        pause = SECONDS_BETWEEN_REQUESTS
        while True:
            try:
                run = self._client.finish_logged_run(self.id, request)
            except ApiError as error:
                if not error.transient or time.monotonic() + pause > deadline:
                    raise
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                break
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        return run

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        if self._closed or self._made_in != os.getpid():  # the process that began the block ends the run
            return
        if error is None:
            self.finish()
            return
        try:
            if isinstance(error, KeyboardInterrupt | RunCancelled | GeneratorExit | SystemExit):
                self.cancel()
            else:
                self.fail(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
        except ApiError as refusal:  # the caller's own error goes on
            warnings.warn(f"The end of run {self.id} is not recorded: {refusal}", stacklevel=2)

    # ---- in the background ----

    def _send(self) -> None:
        try:
            self._send_until_closed()
        finally:
            with self._changed:
                self._sender = None
                self._changed.notify_all()

    def _send_until_closed(self) -> None:
        pause = SECONDS_BETWEEN_REQUESTS
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._points or self._closed)
                if not self._points:
                    return
                batch = list(itertools.islice(self._points, MAX_POINTS_PER_REQUEST))
            try:
                received = self._client.log_points(self.id, {"points": batch})
            except ApiError as error:
                if not error.transient:
                    self._give_up(error)
                    return
                time.sleep(max(pause, error.retry_after or 0.0))
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            pause = SECONDS_BETWEEN_REQUESTS
            with self._changed:
                for _ in batch:
                    self._points.popleft()
                self.should_stop = received.cancel_requested
                more = len(self._points) >= MAX_POINTS_PER_REQUEST
                self._changed.notify_all()
            if not more:
                time.sleep(SECONDS_BETWEEN_REQUESTS)

    def _give_up(self, error: ApiError) -> None:
        """Drop the points that the API refuses: of a cancelled run, else the training goes on, and `finish` raises."""
        cancelled = error.status == 409 and self._client.run(self.id).status is Status.CANCELLED
        with self._changed:
            self.should_stop = cancelled
            self._refusal = None if cancelled else error
            self._points.clear()
        if not cancelled:
            warnings.warn(f"Run {self.id} takes no more points: {error}", stacklevel=2)


def log_run(
    name: str,
    *,
    dataset: str | Mapping[str, Any],
    model: str | Mapping[str, Any] | None = None,
    regularizer: str | Mapping[str, Any] | None = None,
    lambda_: float | None = None,
    params: Mapping[str, Any] | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    experiment: int | None = None,
    notes: str = "",
    tags: Sequence[str] = (),
    client: ApiClient | None = None,
) -> LoggedRun:
    """Make a run for a training loop of your own, and return it to log to.

    Args:
        name: of the run, and of the new experiment.
        dataset: key of the catalog, or {"key": ..., "params": ...}.
        model: likewise; None: a network that is not of the catalog, whose weights cannot be stored.
        regularizer: likewise; None: none.
        lambda_: weight λ of the penalty; None: not known, and the run is no point of λ charts.
        params: settings such as the learning rate. Other values than numbers, text and None are stored as text.
        epochs, steps: of the whole training, for progress and time left.
        experiment: number of one that gets the run.
        notes, tags: of the run.
        client: of the API; default: `connect()`.

    Raises:
        ApiError: the API refuses, with each wrong field, or does not answer.
    """
    client = connect() if client is None else client
    request = {
        "name": name,
        "experiment": experiment,
        "dataset": component(dataset),
        "model": component(model),
        "regularizer": component(regularizer),
        "lambda_": lambda_,
        "epochs": epochs,
        "steps": steps,
        "params": dict(settings(params or {})),
        "notes": notes,
        "tags": list(tags),
    }
    return LoggedRun(client, client.create_logged_run(request).id)


def _attached(client: ApiClient, run: int, step: int, seconds: float) -> LoggedRun:
    return LoggedRun(client, run, step=step, seconds=seconds)


def _at_exit(run: LoggedRun) -> None:
    """Send the last points at the end of this process, also of one that `multiprocessing` started."""

    def flush() -> None:
        with suppress(ApiError):  # warned about already
            run.flush(EXIT_SECONDS)

    atexit.register(flush)
    util.Finalize(run, flush, exitpriority=100)
