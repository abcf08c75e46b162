"""The REST API: `create_app(settings)` for uvicorn's --factory and for tests."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from backend.api import problems, shutdown, threads
from backend.api.access_log import AccessLog
from backend.api.audit import Audit, note_change
from backend.api.authentication import authenticator
from backend.api.body_limit import BodyLimit
from backend.api.departures import Departures
from backend.api.foreign_pages import ForeignPages
from backend.api.gauges import SystemGauges
from backend.api.provenance import code_version
from backend.api.rate_limit import RateLimit
from backend.api.request_ids import RequestIds
from backend.api.routes import (
    artifacts,
    attributions,
    audit,
    bulk,
    catalog,
    datasets,
    densities,
    evaluations,
    events,
    experiments,
    health,
    logs,
    metrics,
    prometheus,
    registrations,
    runs,
    samples,
    system,
    tasks,
    tokens,
    uploads,
    webhooks,
)
from backend.api.samples import SampleCache
from backend.api.trusted_hosts import TrustedHosts
from backend.queue import Queue
from backend.shared import log_lines
from backend.shared.artifacts import ArtifactStore
from backend.shared.contracts import Problem
from backend.shared.database import Database
from backend.shared.settings import Settings

PREFIX = "/api/v1"
_RESOURCES = (
    catalog, datasets, registrations, experiments, runs, bulk, metrics, logs, artifacts, evaluations, attributions,
    densities, uploads, samples, tasks, system, events, webhooks, tokens, audit,
)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application; it opens the database, the artifact store and the broker when it starts.

    Args:
        settings: None reads them from the environment. The database must be migrated (`python -m backend.migrate`).
    """
    settings = settings or Settings()
    # Every route of the API may be asked under a wrong host, with a body that is too large, too often, or find the
    # database gone
    refusals = (400, 403, 413, 429, 503) if settings.api_token is None else (400, 401, 403, 413, 429, 503)

    registry = CollectorRegistry()
    own = registry
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:  # several processes serve one port, and their counts are added
        own = CollectorRegistry()
        MultiProcessCollector(registry)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        threads.limit()
        app.state.database = Database(settings.database_url, before_commit=note_change)
        app.state.store = ArtifactStore(settings.artifacts_url)
        app.state.queue = Queue(settings.redis_url)
        app.state.samples = SampleCache(files=3)  # data sets
        app.state.measures = SampleCache(files=100)  # some numbers per test image each
        app.state.provenance = code_version()
        app.state.registry = registry
        app.state.settings = settings
        registry.register(SystemGauges(app.state.database, app.state.queue))
        log_lines.set_up(settings.log_format)
        with shutdown.announced() as stopping:
            app.state.stopping = stopping
            yield
        app.state.queue.close()
        app.state.database.close()

    app = FastAPI(
        title="DensityLab", version=code_version()["version"], lifespan=lifespan,
        summary="See what image classifiers rely on.", generate_unique_id_function=_operation_id,
        docs_url="/docs", redoc_url=None, redirect_slashes=False,
    )
    problems.install(app)
    # The last one added is the first to see a request
    app.add_middleware(Audit)
    app.add_middleware(BodyLimit)
    if settings.api_token is None:
        app.add_middleware(ForeignPages)
    if settings.rate_limit:
        app.add_middleware(RateLimit, rate=settings.rate_limit)
    app.add_middleware(TrustedHosts, allowed=settings.trusted_hosts)
    app.add_middleware(AccessLog, registry=own, lines=settings.log_format == "json")
    app.add_middleware(RequestIds)
    app.add_middleware(Departures)
    api = APIRouter(prefix=PREFIX, dependencies=authenticator(settings), responses=problems.responses(*refusals))
    for resource in _RESOURCES:
        api.include_router(resource.router)
    app.include_router(api)
    app.include_router(
        prometheus.router, dependencies=authenticator(settings), responses=problems.responses(*refusals)
    )
    app.include_router(health.router, responses=problems.responses(400, 413, 429))
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name


def _described(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with the model of problems and without FastAPI's own form of them."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.pop("HTTPValidationError", None)
        schemas.pop("ValidationError", None)
        model = Problem.model_json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
        schemas.update(model.pop("$defs", {}))
        schemas["Problem"] = model
        app.openapi_schema = document
    return app.openapi_schema
