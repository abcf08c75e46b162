"""Uploaded images."""

import hashlib
import math
from typing import Annotated

import numpy as np
from fastapi import Depends, Path, Query, Request, Response
from sqlalchemy.orm import Session
from starlette.datastructures import UploadFile

from densitylab.backend.api.dependencies import CatalogDep, DatabaseDep, Reading
from densitylab.backend.api.errors import responses
from densitylab.backend.api.idempotency_key import IdempotencyKey
from densitylab.backend.api.resource_router import resource_router
from densitylab.backend.services import datasets, uploads
from densitylab.backend.services.idempotency import DeletedSince, once
from densitylab.backend.services.previews import png_url
from densitylab.backend.shared import images
from densitylab.backend.shared.catalog import DatasetEntry
from densitylab.backend.shared.contracts import Upload
from densitylab.backend.shared.errors import Conflict, InvalidField, NotFound
from densitylab.backend.shared.store import uploads as store
from densitylab.backend.shared.store.times import to_datetime
from densitylab.backend.shared.tables import UploadRow

router = resource_router("uploads", "/uploads")
UploadId = Annotated[int, Path(ge=1, le=2**31 - 1, description="number of the uploaded image")]


async def _content(request: Request) -> bytes:
    """Return the body, or the file of a form. Raises InvalidField where a form has none."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        return await request.body()
    async with request.form(max_files=1, max_fields=1) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise InvalidField("expected a file in the field 'file' of the form", "/file")
        return await file.read()


_FILE = {"type": "string", "format": "binary", "description": ", ".join(images.FORMATS)}
_FORM = {"type": "object", "required": ["file"], "properties": {"file": _FILE}}
# The image itself as the body is accepted as well: two types of one body are more than generators can express
_BODY = {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}


@router.post("", status_code=201, responses=responses(400, 404, 409, 413, 422), openapi_extra={"requestBody": _BODY})
def upload_image(
    content: Annotated[bytes, Depends(_content)],
    dataset: Annotated[
        str, Query(pattern=r"^[a-z0-9_]+$", max_length=64, description="data set whose image shape to fit")
    ],
    database: DatabaseDep,
    catalog: CatalogDep,
    response: Response,
    key: IdempotencyKey,
    image_size: Annotated[
        int | None,
        Query(ge=1, le=4096, description="of a data set that is prepared in several sizes; default: its own"),
    ] = None,
) -> Upload:
    """Store the pixels of an image, sent as the body or as the file of a form, fitted to the data set's shape. It is
    turned by its EXIF orientation, cropped around its centre and scaled; transparent parts become black; more than 8
    bits per channel are scaled to 8. To request its maps, use the samples {"split": "upload", "indices": [id]}."""
    entry = datasets.find(catalog, dataset, "/query/dataset")
    asked = {} if image_size is None else {"image_size": image_size}
    entry = entry.sized(datasets.complete_params(catalog, entry, asked, "/query"))
    pixels, (height, width) = uploads.fit(content, entry.channels or 1, entry.image_size or (0, 0))
    raw = pixels.tobytes()
    content_hash = hashlib.sha256(raw).hexdigest()

    def make(session: Session) -> int:
        return store.create(session, dataset, content_hash=content_hash, pixels=raw, height=height, width=width).id

    upload_id = once(database, key, {"upload": [dataset, height, width, content_hash]}, make).made
    with database.read() as session:
        row = store.many(session, [upload_id]).get(upload_id)
    if row is None:
        raise DeletedSince(f"upload {upload_id}")
    response.headers["Location"] = f"/api/v1/uploads/{upload_id}"
    return _answer(row, entry)


@router.get("/{upload_id}", responses=responses(404, 409, 422))
def get_upload(upload_id: UploadId, session: Reading, catalog: CatalogDep) -> Upload:
    """Return the fitted image, unless its data set has another shape by now."""
    row = store.many(session, [upload_id]).get(upload_id)
    if row is None:
        raise NotFound("upload", upload_id, "/path/upload_id")
    entry = datasets.find(catalog, row.dataset, "/query/dataset")
    if entry.sized_by is not None:  # the image is a square
        entry = entry.sized({entry.sized_by: math.isqrt(len(row.pixels) // (entry.channels or 1))})
    return _answer(row, entry)


def _answer(row: UploadRow, entry: DatasetEntry) -> Upload:
    height, width = entry.image_size or (0, 0)
    shape = (entry.channels or 1, height, width)
    if len(row.pixels) != math.prod(shape):
        raise Conflict(f"the image was fitted to another shape than that of {entry.label}: upload it again")
    grey = ", converted to grey" if entry.channels == 1 else ""
    return Upload(
        id=row.id,
        dataset=row.dataset,
        image=png_url(np.frombuffer(row.pixels, np.uint8).reshape(shape)),
        original_size=[row.height, row.width],
        created_at=to_datetime(row.created_at),
        fitted=f"cropped around its centre to {entry.label}'s shape and resized from {row.height} × {row.width} to "
        f"{height} × {width} pixels (height × width){grey}",
    )
