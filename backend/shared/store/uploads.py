"""Images that people brought, as pixels of a data set's shape."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.shared.database import now
from backend.shared.tables import UploadRow


def create(
    session: Session, dataset: str, *, content_hash: str, pixels: bytes, height: int, width: int
) -> UploadRow:
    """Keeps the pixels, (C, H, W) uint8 in order; the same pixels for the same data set are kept once."""
    row = session.scalar(
        select(UploadRow).where(UploadRow.dataset == dataset, UploadRow.content_hash == content_hash)
    )
    if row is None:
        row = UploadRow(dataset=dataset, content_hash=content_hash, pixels=pixels, height=height, width=width,
                        created_at=now(session))
        session.add(row)
        session.flush()
    return row


def many(session: Session, ids: Sequence[int]) -> dict[int, UploadRow]:
    """Those that exist, by id."""
    return {row.id: row for row in session.scalars(select(UploadRow).where(UploadRow.id.in_(ids)))}


def forget_oldest(session: Session, keep: int) -> int:
    """Removes all but the `keep` newest; returns how many."""
    surplus = session.scalars(select(UploadRow).order_by(UploadRow.id.desc()).offset(keep)).all()
    for row in surplus:
        session.delete(row)
    return len(surplus)
