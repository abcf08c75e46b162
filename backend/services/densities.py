"""Requests for slices of log p: check them, and reuse a stored result of the same content."""

from sqlalchemy.orm import Session

from densitylab.backend.services.attributions import identity, image_errors, shared_dataset, trained_runs
from densitylab.backend.shared import specs
from densitylab.backend.shared.callers import Caller
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import DensityRequest, TaskKind
from densitylab.backend.shared.errors import InvalidField, InvalidRequest
from densitylab.backend.shared.store import attributions


def request(session: Session, catalog: Catalog, body: DensityRequest, owner: Caller) -> int:
    """Return the id of the requested slices: stored ones of the same content, or new ones for the caller to deliver.

    Raises:
        InvalidRequest, NotFound, RunNotReady: see `attributions.check`.
    """
    if (body.direction == "image") != (body.towards is not None):
        raise InvalidField("expected an image with the direction 'image', and none with another", "/towards")
    if body.towards == body.index:
        raise InvalidField("expected another image than `index`", "/towards")
    members = trained_runs(session, body.runs, "/runs")
    dataset = shared_dataset(session, members, "/runs")
    errors = image_errors(session, catalog, body.split, [("/index", body.index)], dataset)
    if body.towards is not None:
        errors += image_errors(session, catalog, body.split, [("/towards", body.towards)], dataset)
    if errors:
        raise InvalidRequest(errors)
    completed = body.model_dump()
    content_hash = specs.content_hash({"density": completed, "of": identity(session, members)})
    stored = attributions.reusable(session, content_hash)
    if stored is not None:
        return stored
    return attributions.create(session, completed, content_hash, TaskKind.DENSITY, owner)
