"""Uploaded images, as pixels in a data set's shape."""

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from densitylab.backend.shared.database import now
from densitylab.backend.shared.tables import UploadRow


def create(session: Session, dataset: str, *, content_hash: str, pixels: bytes, height: int, width: int) -> UploadRow:
    """Store the pixels, (C, H, W) uint8; the same pixels for the same data set are stored once."""
    row = session.scalar(select(UploadRow).where(UploadRow.dataset == dataset, UploadRow.content_hash == content_hash))
    if row is None:
        row = UploadRow(
            dataset=dataset,
            content_hash=content_hash,
            pixels=pixels,
            height=height,
            width=width,
            created_at=now(session),
        )
        session.add(row)
        session.flush()
    return row


def many(session: Session, ids: Sequence[int]) -> dict[int, UploadRow]:
    """Return the uploads that exist, by id."""
    return {row.id: row for row in session.scalars(select(UploadRow).where(UploadRow.id.in_(ids)))}


def forget_oldest(session: Session, keep: int, limit: int) -> int:
    """Delete all but the `keep` newest, at most `limit` of them; return the number deleted."""
    surplus = session.scalars(select(UploadRow.id).order_by(UploadRow.id.desc()).offset(keep).limit(limit)).all()
    session.execute(delete(UploadRow).where(UploadRow.id.in_(surplus)))
    return len(surplus)
