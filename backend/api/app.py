"""The REST API: `create_app(settings)` for uvicorn's --factory and for tests."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from densitylab.backend.api import docs, errors, openapi, shutdown, threads
from densitylab.backend.api.collectors import SystemCollector
from densitylab.backend.api.connections import Connections, descriptors
from densitylab.backend.api.middleware.access_log import AccessLog
from densitylab.backend.api.middleware.audit import Audit, note_change
from densitylab.backend.api.middleware.authentication import Authentication
from densitylab.backend.api.middleware.body_limit import BodyLimit
from densitylab.backend.api.middleware.client_disconnect import ClientDisconnect
from densitylab.backend.api.middleware.compression import Compression
from densitylab.backend.api.middleware.concrete_paths import ConcretePaths
from densitylab.backend.api.middleware.cors import CrossOrigin
from densitylab.backend.api.middleware.csrf import CsrfProtection
from densitylab.backend.api.middleware.etag import ETags
from densitylab.backend.api.middleware.head import Head
from densitylab.backend.api.middleware.header_lists import HeaderLists
from densitylab.backend.api.middleware.rate_limit import RateLimit
from densitylab.backend.api.middleware.request_ids import RequestIds
from densitylab.backend.api.middleware.tracing import Tracing
from densitylab.backend.api.process_metrics import ApiProcesses
from densitylab.backend.api.provenance import code_version
from densitylab.backend.api.query_parameters import RefuseUnknownParameters
from densitylab.backend.api.resource_router import COMMON_STATUSES, operation_id
from densitylab.backend.api.routes import (
    artifacts,
    attributions,
    audit,
    bulk,
    catalog,
    comparisons,
    datasets,
    densities,
    evaluations,
    events,
    experiments,
    exports,
    health,
    logged_runs,
    logs,
    metrics,
    models,
    penalties,
    problems,
    prometheus,
    registrations,
    runs,
    samples,
    stream_tokens,
    studies,
    system,
    tables,
    tasks,
    tokens,
    uploads,
    webhooks,
)
from densitylab.backend.api.stream_slots import StreamSlots
from densitylab.backend.broker.queue import Queue
from densitylab.backend.services.previews import SampleCache
from densitylab.backend.shared import log_format, tracing
from densitylab.backend.shared.artifacts import ArtifactStore
from densitylab.backend.shared.asgi.path_prefix import PathPrefix
from densitylab.backend.shared.asgi.security_headers import SecurityHeaders
from densitylab.backend.shared.asgi.trusted_hosts import REFUSAL, TrustedHosts
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings

LOCK_SECONDS, STATEMENT_SECONDS = 5.0, 60.0  # after which a request is refused that waits for the database
_RESOURCES = (  # those of most requests first: the router tries one route after the other
    runs,
    metrics,
    experiments,
    catalog,
    datasets,
    registrations,
    models,
    studies,
    logged_runs,
    tables,
    bulk,
    logs,
    artifacts,
    exports,
    evaluations,
    comparisons,
    attributions,
    densities,
    penalties,
    uploads,
    samples,
    tasks,
    system,
    events,
    stream_tokens,
    webhooks,
    tokens,
    audit,
)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the application; it opens the database, the artifact store and the broker when it starts.

    Args:
        settings: None reads them from the environment. The database must be migrated (`densitylab migrate`).
    """
    settings = settings or Settings()
    registry = CollectorRegistry()
    process_registry = registry
    multiprocess = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if multiprocess is not None:  # several processes serve one port: add their counts up
        process_registry = CollectorRegistry()
        MultiProcessCollector(registry)
    spans = tracing.provider("densitylab-api", batched=True)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        threads.limit()
        app.state.database = Database(
            settings.database_url, note_change, lock_seconds=LOCK_SECONDS, statement_seconds=STATEMENT_SECONDS
        )
        app.state.store = ArtifactStore(settings.artifacts_url)
        app.state.queue = Queue(settings.redis_url, app.state.database)
        app.state.samples = SampleCache(files=3)  # data sets
        app.state.sample_values = SampleCache(files=100)  # evaluations' values per test image
        app.state.stream_slots = StreamSlots()
        app.state.provenance = code_version()
        app.state.catalog = Catalog.installed()
        app.state.catalog_answers = catalog.catalog_answers(app.state.catalog)
        app.state.registry = registry
        app.state.settings = settings
        registry.register(SystemCollector(app.state.database, app.state.queue, settings, app.state.provenance))
        registry.register(ApiProcesses(Path(multiprocess) if multiprocess else None))
        log_format.set_up(settings.log_format)
        with shutdown.stop_event() as stopping:
            app.state.stopping = stopping
            yield
        app.state.queue.close()
        app.state.database.close()
        if spans is not None:
            spans.shutdown()

    app = FastAPI(
        title="DensityLab",
        version=code_version()["version"],
        lifespan=lifespan,
        summary="See what image classifiers rely on.",
        generate_unique_id_function=operation_id,
        docs_url=None,  # FastAPI's own page loads its parts from other hosts
        redoc_url=None,
        servers=[{"url": settings.path_prefix}] if settings.path_prefix else None,
        redirect_slashes=False,
        dependencies=[Depends(RefuseUnknownParameters())],
    )
    app.state.connections = Connections(settings.max_connections, descriptors(), process_registry)
    # The last added middleware gets a request first
    app.add_middleware(ConcretePaths, methods=_methods_of_concrete_paths())
    app.add_middleware(ETags)
    app.add_middleware(Compression)
    app.add_middleware(HeaderLists)
    app.add_middleware(Head)
    app.add_middleware(Audit)
    app.add_middleware(BodyLimit, model_bytes=settings.model_mib * 2**20)
    if settings.api_token is None:
        app.add_middleware(CsrfProtection, origins=settings.cors)
    else:
        app.add_middleware(Authentication, token=settings.api_token, shared_runs=settings.shared_runs)
    errors.install(app)
    if settings.rate_limit:
        app.add_middleware(RateLimit, rate=settings.rate_limit)
    app.add_middleware(TrustedHosts, allowed=settings.trusted_hosts, refusal=errors.respond(400, REFUSAL))
    if settings.cors:
        app.add_middleware(CrossOrigin, origins=settings.cors)
    app.add_middleware(AccessLog, registry=process_registry, lines=settings.log_format == "json")
    if spans is not None:
        app.add_middleware(Tracing, provider=spans)
    app.add_middleware(RequestIds)
    app.add_middleware(ClientDisconnect)
    app.add_middleware(PathPrefix, prefix=settings.path_prefix)
    app.add_middleware(SecurityHeaders, policy="default-src 'none'")
    for resource in _RESOURCES:
        app.router.routes.extend(resource.router.routes)
    app.include_router(prometheus.router, responses=errors.responses(*COMMON_STATUSES))
    app.include_router(problems.router, responses=errors.responses(400, 408, 413, 422, 429, 431))
    docs.install(app)
    app.include_router(health.router, responses=errors.responses(400, 408, 413, 422, 429, 431))
    app.openapi = cache(  # type: ignore[method-assign]
        lambda: openapi.document(app, Catalog.installed(), token_required=settings.api_token is not None)
    )
    return app


def _methods_of_concrete_paths() -> dict[str, set[str]]:
    """Return the methods of each path of a resource that has no parameters."""
    methods: dict[str, set[str]] = {}
    for resource in _RESOURCES:
        for route in resource.router.routes:
            if isinstance(route, APIRoute) and not route.param_convertors:
                methods.setdefault(route.path, set()).update(route.methods or ())
    return methods
