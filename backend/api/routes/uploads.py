"""Images that people bring."""

import hashlib
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Body, Path, Query, Response

from backend import uploads
from backend.api.dependencies import DatabaseDep, Reading, RegisteredKnown
from backend.api.problems import ApiError, not_found, responses
from backend.api.samples import png_url
from backend.shared.catalog import Entry, UnknownKey, find
from backend.shared.contracts import FieldError, Upload
from backend.shared.store import uploads as store
from backend.shared.store.times import moment
from backend.shared.tables import UploadRow

router = APIRouter(prefix="/uploads", tags=["uploads"], dependencies=[RegisteredKnown])
UploadId = Annotated[int, Path(ge=1, le=2**31 - 1)]


@router.post("", status_code=201, responses=responses(400, 404, 413, 422))
def upload_image(
    content: Annotated[bytes, Body(media_type="application/octet-stream", description="PNG, JPEG or WebP")],
    dataset: Annotated[str, Query(pattern=r"^[a-z0-9_]+$", max_length=64, description="whose shape it shall have")],
    database: DatabaseDep, response: Response,
) -> Upload:
    """Keeps the pixels of an image, fitted to the data set's shape. Ask for its maps with the samples
    {"split": "upload", "indices": [id]}."""
    entry = _entry(dataset)
    try:
        pixels, (height, width) = uploads.fitted(content, entry.channels or 1, entry.image_size or (0, 0))
    except uploads.BadImage as reason:
        raise ApiError(422, str(reason), [FieldError(pointer="", detail=str(reason))]) from None
    raw = pixels.tobytes()
    with database.write() as session:
        row = store.create(session, dataset, content_hash=hashlib.sha256(raw).hexdigest(), pixels=raw, height=height,
                           width=width)
        answer = _answer(row, entry)
    response.headers["Location"] = f"/api/v1/uploads/{answer.id}"
    return answer


@router.get("/{upload_id}", responses=responses(404, 422))
def get_upload(upload_id: UploadId, session: Reading) -> Upload:
    row = store.many(session, [upload_id]).get(upload_id)
    if row is None:
        raise not_found("upload", upload_id, "/path/upload_id")
    return _answer(row, _entry(row.dataset))


def _entry(dataset: str) -> Entry:
    try:
        return find("dataset", dataset)
    except UnknownKey:
        raise not_found("data set", dataset, "/query/dataset") from None


def _answer(row: UploadRow, entry: Entry) -> Upload:
    height, width = entry.image_size or (0, 0)
    shape = (entry.channels or 1, height, width)
    grey = ", made grey" if entry.channels == 1 else ""
    return Upload(
        id=row.id, dataset=row.dataset, image=png_url(np.frombuffer(row.pixels, np.uint8).reshape(shape)),
        original_size=[row.height, row.width], created_at=moment(row.created_at),
        fitted=f"cut around its centre to {entry.label}'s shape and resized from {row.height} × {row.width} to "
               f"{height} × {width} pixels (height × width){grey}",
    )
