"""What happened to runs, as streams and webhooks tell it."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from backend.shared.contracts.fields import Answer, Request


class Event(Answer):
    """A run's training, or one of its evaluations, came to a new status."""

    id: int  # grows; the Last-Event-ID to go on from
    type: str  # "run" or "evaluation", a dot, and the new status: run.succeeded, evaluation.failed
    run: int
    task: int
    error: str | None = None
    at: datetime


class Progress(Answer):
    """How far a run's training is."""

    stage: str
    progress: float  # 0 to 1
    eta_seconds: float | None = None
    metrics: dict[str, float] = Field(default_factory=dict)  # the latest value of each curve


class WebhookRequest(Request):
    url: Annotated[str, Field(max_length=2000, pattern=r"^https?://[!-~]+$")]


class Webhook(Answer):
    id: int
    url: str
    created_at: datetime


class NewWebhook(Webhook):
    secret: str  # that signs the deliveries; told this once


class WebhookDelivery(Answer):
    id: int
    event: Event
    attempts: int
    delivered_at: datetime | None = None
    next_attempt_at: datetime | None = None  # null with no delivered_at: given up
    error: str | None = None  # of the last attempt
