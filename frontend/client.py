"""The Python client of the API: the page uses it, and so may any other tool."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import IO, Any, Generic, TypeVar

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from backend.shared.contracts import (
    AddedRuns,
    ArchiveRequest,
    Artifact,
    Attribution,
    AttributionCost,
    AttributionRequest,
    BulkAnswer,
    BulkRequest,
    Dataset,
    DatasetSample,
    Deleted,
    Density,
    DensityRequest,
    Evaluation,
    EvaluationSpec,
    Experiment,
    ExperimentPatch,
    ExperimentRequest,
    FieldError,
    LogLine,
    MeasuredSamples,
    MetricSeries,
    Preflight,
    PrepareRequest,
    Problem,
    Readiness,
    RegisterRequest,
    Run,
    RunPatch,
    RunsRequest,
    SamplesFound,
    System,
    Task,
    Upload,
)
from frontend.catalog import Catalog

Answer = TypeVar("Answer")
Query = Mapping[str, Any]


class ApiError(Exception):
    """The API refused, failed or does not answer; `str()` is one sentence for the user.

    Attributes:
        status: the HTTP status; 0 where no answer came.
        errors: what is wrong with which field of the request.
    """

    def __init__(self, status: int, message: str, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.errors = list(errors)


@dataclass(frozen=True)
class Listing(Generic[Answer]):
    """One page of a listing; `next_cursor` is None on the last one."""

    items: list[Answer]
    next_cursor: str | None = None
    total: int | None = None  # in the whole listing, where the API counts them


def connect(url: str, token: str | None = None) -> "ApiClient":
    """A client of the API at `url`, such as http://127.0.0.1:8000."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    timeout = httpx.Timeout(30, connect=3)
    return ApiClient(httpx.Client(base_url=url, headers=headers, timeout=timeout))


class ApiClient:
    """One method per route. Each raises ApiError where the API refuses or does not answer."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    # ---- system and catalog ----

    def readiness(self) -> Readiness:
        # Degraded is an answer too, whatever its status code
        return self._read(Readiness, self._send("GET", "/readyz", accept=(200, 503)))

    def catalog(self) -> Catalog:
        return self._read(Catalog, self._send("GET", "/api/v1/catalog"))

    def system(self) -> System:
        """Workers with what they do, queues, broker, database, disk and versions."""
        return self._read(System, self._send("GET", "/api/v1/system"))

    # ---- data sets ----

    def datasets(self) -> Listing[Dataset]:
        return self._list(Dataset, "/api/v1/datasets")

    def dataset(self, key: str) -> Dataset:
        return self._read(Dataset, self._send("GET", f"/api/v1/datasets/{key}"))

    def samples(
        self, key: str, *, split: str = "test", indices: Sequence[int] | None = None,
        label: int | None = None, offset: int | None = None, limit: int = 50, cursor: str | None = None,
        data_seed: int | None = None,
    ) -> Listing[DatasetSample]:
        """Images of a split: the given indices, or a page of them, of one class if asked."""
        query = {"split": split, "index": indices, "label": label, "offset": offset, "limit": limit,
                 "cursor": cursor, "data_seed": data_seed}
        return self._list(DatasetSample, f"/api/v1/datasets/{key}/samples", query)

    def prepare_dataset(self, key: str, params: Mapping[str, Any] | None = None) -> Task:
        """Prepares the data set with these parameters; those left out take the catalog's defaults."""
        body = PrepareRequest(params=dict(params or {}))
        return self._read(Task, self._send("POST", f"/api/v1/datasets/{key}/prepare", body=body))

    def remove_dataset(self, key: str) -> Deleted:
        """Removes its prepared forms and what was downloaded; a registered one altogether."""
        return self._read(Deleted, self._send("DELETE", f"/api/v1/datasets/{key}"))

    def register(self, request: RegisterRequest) -> Task:
        """Makes a data set of images in the data folder."""
        return self._read(Task, self._send("POST", "/api/v1/registrations", body=request))

    def register_archive(self, request: ArchiveRequest, name: str, archive: IO[bytes]) -> Task:
        """Makes a data set of images in a zip archive, which is sent as it is read."""
        answer = self._send("POST", "/api/v1/registrations/archive", files={"archive": (name, archive)},
                            form={"request": request.model_dump_json()})
        return self._read(Task, answer)

    # ---- experiments ----

    def launch(self, request: ExperimentRequest, *, idempotency_key: str | None = None) -> Experiment:
        """Starts the runs of an experiment. The same key and request again gives the first answer again."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        answer = self._send("POST", "/api/v1/experiments", body=request, headers=headers)
        return self._read(Experiment, answer)

    def preflight(self, request: ExperimentRequest) -> Preflight:
        """What a launch would cost; nothing is started."""
        answer = self._send("POST", "/api/v1/experiments", query={"dry_run": True}, body=request)
        return self._read(Preflight, answer)

    def add_runs(self, experiment: int, request: RunsRequest) -> AddedRuns:
        """More runs for an experiment: other seeds or λ of what it has, or a sweep over its spec."""
        return self._read(AddedRuns, self._send("POST", f"/api/v1/experiments/{experiment}/runs", body=request))

    def experiments(
        self, *, q: str | None = None, archived: bool = False, limit: int = 50, cursor: str | None = None
    ) -> Listing[Experiment]:
        """A page of experiments, newest first."""
        query = {"q": q, "archived": archived or None, "limit": limit, "cursor": cursor}
        return self._list(Experiment, "/api/v1/experiments", query)

    def experiment(self, experiment: int) -> Experiment:
        return self._read(Experiment, self._send("GET", f"/api/v1/experiments/{experiment}"))

    def change_experiment(self, experiment: int, patch: ExperimentPatch) -> Experiment:
        return self._read(Experiment, self._send("PATCH", f"/api/v1/experiments/{experiment}", body=patch))

    def delete_experiment(self, experiment: int) -> Deleted:
        return self._read(Deleted, self._send("DELETE", f"/api/v1/experiments/{experiment}"))

    # ---- runs ----

    def runs(
        self, *, experiment: int | None = None, status: str | None = None, dataset: str | None = None,
        model: str | None = None, regularizer: str | None = None, tag: str | None = None,
        q: str | None = None, archived: bool = False, sort: str | None = None, limit: int = 50,
        cursor: str | None = None,
    ) -> Listing[Run]:
        """A page of runs, newest first unless sorted otherwise."""
        query = {
            "experiment": experiment, "status": status, "dataset": dataset, "model": model,
            "regularizer": regularizer, "tag": tag, "q": q, "archived": archived or None, "sort": sort,
            "limit": limit, "cursor": cursor,
        }
        return self._list(Run, "/api/v1/runs", query)

    def runs_of(self, experiment: int) -> list[Run]:
        """Every run of an experiment, oldest first."""
        return sorted(self._every_run(experiment), key=lambda run: run.id)

    def _every_run(self, experiment: int) -> Iterator[Run]:
        cursor = None
        while True:
            page = self.runs(experiment=experiment, limit=200, cursor=cursor)
            yield from page.items
            cursor = page.next_cursor
            if cursor is None:
                return

    def run(self, run: int) -> Run:
        return self._read(Run, self._send("GET", f"/api/v1/runs/{run}"))

    def change_run(self, run: int, patch: RunPatch) -> Run:
        return self._read(Run, self._send("PATCH", f"/api/v1/runs/{run}", body=patch))

    def delete_run(self, run: int) -> Deleted:
        return self._read(Deleted, self._send("DELETE", f"/api/v1/runs/{run}"))

    def cancel_run(self, run: int) -> Run:
        return self._read(Run, self._send("POST", f"/api/v1/runs/{run}/cancel"))

    def retry_run(self, run: int) -> Run:
        return self._read(Run, self._send("POST", f"/api/v1/runs/{run}/retry"))

    def act_on_runs(self, request: BulkRequest) -> BulkAnswer:
        """One action on many runs, or with `dry_run` what it would do and free."""
        return self._read(BulkAnswer, self._send("POST", "/api/v1/bulk/runs", body=request))

    def runs_csv(self, *, experiment: int | None = None, archived: bool | None = None, q: str | None = None) -> str:
        """Every run that matches, as one table."""
        query = {"experiment": experiment, "archived": archived, "q": q, "format": "csv"}
        return self._send("GET", "/api/v1/runs", query=query).text

    def metrics(
        self, run: int, *, names: Sequence[str] | None = None, since: int | None = None,
        max_points: int | None = None,
    ) -> list[MetricSeries]:
        """Curves of one run: those named, or all; points after step `since`; thinned to `max_points` each."""
        query = {"names": names, "since": since, "max_points": max_points}
        return self._list(MetricSeries, f"/api/v1/runs/{run}/metrics", query).items

    def metrics_of(
        self, runs: Sequence[int], names: Sequence[str], *, max_points: int | None = None
    ) -> list[MetricSeries]:
        """Curves of several runs in one answer."""
        query = {"run": runs, "names": names, "max_points": max_points}
        return self._list(MetricSeries, "/api/v1/metrics", query).items

    def log(
        self, run: int, *, after: int | None = None, q: str | None = None, limit: int = 200
    ) -> list[LogLine]:
        """The last lines, or those after the line with id `after`; in order."""
        return self._list(LogLine, f"/api/v1/runs/{run}/log", {"after": after, "q": q, "limit": limit}).items

    def log_text(self, run: int, *, q: str | None = None) -> str:
        """The whole log, one line each with its time and level; only lines with `q` in them where it is given."""
        return self._send("GET", f"/api/v1/runs/{run}/log", query={"q": q, "format": "text"}).text

    def artifacts(self, run: int) -> list[Artifact]:
        return self._list(Artifact, f"/api/v1/runs/{run}/artifacts").items

    def artifact(self, run: int, name: str) -> bytes:
        """The file's content."""
        return self._send("GET", f"/api/v1/runs/{run}/artifacts/{name}").content

    def evaluations(self, run: int) -> list[Evaluation]:
        return self._list(Evaluation, f"/api/v1/runs/{run}/evaluations").items

    def evaluate(self, run: int, evaluation: EvaluationSpec) -> Evaluation:
        """Takes one more measure of a trained run."""
        return self._read(Evaluation, self._send("POST", f"/api/v1/runs/{run}/evaluations", body=evaluation))

    def measured_samples(
        self, run: int, evaluation: str, array: str, *, equals: float | None = None, order: str = "index",
        limit: int = 50,
    ) -> MeasuredSamples:
        """The test images behind a figure; `order` is "index", "lowest" or "highest"."""
        query = {"array": array, "equals": equals, "order": order, "limit": limit}
        return self._read(MeasuredSamples, self._send(
            "GET", f"/api/v1/runs/{run}/evaluations/{evaluation}/samples", query=query
        ))

    # ---- maps and tasks ----

    def attribute(self, request: AttributionRequest) -> Attribution:
        """Asks for maps; those asked for before come back at once, others are awaited by `attribution`."""
        return self._read(Attribution, self._send("POST", "/api/v1/attributions", body=request))

    def attribution_cost(self, request: AttributionRequest) -> AttributionCost:
        """What those maps would cost; nothing is drawn."""
        answer = self._send("POST", "/api/v1/attributions", query={"dry_run": True}, body=request)
        return self._read(AttributionCost, answer)

    def browse(
        self, runs: Sequence[int], *, label: int | None = None, group: int | None = None, only: str = "all",
        worst: str | None = None, limit: int | None = None, cursor: str | None = None,
    ) -> SamplesFound:
        """A page of the test images that pass the filters, by what the runs say of them."""
        query = {"run": runs, "label": label, "group": group, "only": only, "worst": worst, "limit": limit,
                 "cursor": cursor}
        return self._read(SamplesFound, self._send("GET", "/api/v1/samples", query=query))

    def upload_image(self, content: bytes, dataset: str) -> Upload:
        """Keeps the pixels of a PNG, JPEG or WebP image, fitted to the data set's shape."""
        answer = self._send("POST", "/api/v1/uploads", query={"dataset": dataset}, content=content)
        return self._read(Upload, answer)

    def upload(self, upload: int) -> Upload:
        return self._read(Upload, self._send("GET", f"/api/v1/uploads/{upload}"))

    def attribution(self, attribution: int) -> Attribution:
        return self._read(Attribution, self._send("GET", f"/api/v1/attributions/{attribution}"))

    def attribution_arrays(self, attribution: int) -> bytes:
        """The raw maps, as the bytes of an NPZ file."""
        return self._send("GET", f"/api/v1/attributions/{attribution}/arrays").content

    def slice_density(self, request: DensityRequest) -> Density:
        """log p along a line and on a plane through an image; awaited by `density`."""
        return self._read(Density, self._send("POST", "/api/v1/densities", body=request))

    def density(self, density: int) -> Density:
        return self._read(Density, self._send("GET", f"/api/v1/densities/{density}"))

    def task(self, task: int) -> Task:
        return self._read(Task, self._send("GET", f"/api/v1/tasks/{task}"))

    def cancel_task(self, task: int) -> Task:
        return self._read(Task, self._send("POST", f"/api/v1/tasks/{task}/cancel"))

    # ---- HTTP ----

    def _send(
        self, method: str, path: str, *, query: Query | None = None, body: BaseModel | None = None,
        content: str | bytes | None = None, headers: Mapping[str, str] | None = None, accept: Sequence[int] = (),
        files: Mapping[str, tuple[str, IO[bytes]]] | None = None, form: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        headers = dict(headers or {})
        if content is not None:
            headers["Content-Type"] = "application/octet-stream"
        if body is not None:
            # A patch says only what it changes
            content = body.model_dump_json(exclude_unset=method == "PATCH")
            headers["Content-Type"] = "application/json"
        present = {name: value for name, value in (query or {}).items() if value is not None}
        where = str(self._http.base_url).rstrip("/")
        try:
            answer = self._http.request(
                method, path, params=present, content=content, headers=headers, files=files, data=form
            )
        except httpx.TimeoutException:
            raise ApiError(0, f"The API at {where} did not answer in time; try again.") from None
        except httpx.TransportError:
            raise ApiError(
                0, f"The API at {where} does not answer. Start the system with `make up`, or set "
                   "DENSITYLAB_API_URL to where it runs."
            ) from None
        if answer.is_success or answer.status_code in accept:
            return answer
        raise _refusal(answer)

    def _list(self, item: type[Answer], path: str, query: Query | None = None) -> Listing[Answer]:
        return self._read(Listing[item], self._send("GET", path, query=query))  # type: ignore[valid-type]

    def _read(self, kind: type[Answer], answer: httpx.Response) -> Answer:
        return _validated(kind, answer)


_adapter = cache(TypeAdapter)  # building one takes longer than most answers take to read


def _validated(kind: Any, answer: httpx.Response) -> Any:
    try:
        return _adapter(kind).validate_json(answer.content)
    except ValidationError as error:
        if error.errors(include_url=False)[0]["type"] == "json_invalid":
            message = f"{answer.request.url} did not answer with JSON: is it the API?"
            raise ApiError(answer.status_code, message) from None
        raise ApiError(
            200, f"The API answered in a form that this client does not know ({error.error_count()} fields "
                 "differ): the two are of different versions."
        ) from None


def _refusal(answer: httpx.Response) -> ApiError:
    try:
        problem = Problem.model_validate(answer.json())
    except (ValueError, UnicodeDecodeError):
        return ApiError(answer.status_code, f"The API answered {answer.status_code} {answer.reason_phrase}.")
    message = problem.detail or problem.title
    if answer.status_code == 401:
        message += " Set DENSITYLAB_API_TOKEN to the token of the API."
    return ApiError(answer.status_code, message, problem.errors)
