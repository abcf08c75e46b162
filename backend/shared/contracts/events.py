"""Events of runs, for streams and webhooks."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from densitylab.backend.shared.contracts.fields import Answer, Request


class EventType(StrEnum):
    """Type of an event of a run's training, of an evaluation, of a whole run or of an experiment."""

    RUN_QUEUED = "run.queued"
    RUN_RUNNING = "run.running"
    RUN_SUCCEEDED = "run.succeeded"  # trained; its evaluations follow
    RUN_FAILED = "run.failed"
    RUN_CANCELLED = "run.cancelled"
    RUN_MEASURED = "run.measured"  # trained, and every evaluation has ended
    EVALUATION_QUEUED = "evaluation.queued"
    EVALUATION_RUNNING = "evaluation.running"
    EVALUATION_SUCCEEDED = "evaluation.succeeded"
    EVALUATION_FAILED = "evaluation.failed"
    EVALUATION_CANCELLED = "evaluation.cancelled"
    EXPERIMENT_FINISHED = "experiment.finished"  # every run and evaluation has ended


class Event(Answer):
    """A new status of a run's training or of one of its evaluations, or the end of a run or an experiment."""

    id: int = Field(description="number of the event, increasing; the Last-Event-ID to continue from")
    type: EventType = Field(description="what happened")
    experiment: int = Field(description="number of the experiment")
    run: int = Field(description="number of the run; for `experiment.finished` the run that ended last")
    task: int = Field(description="number of the task")
    error: str | None = Field(default=None, description="why the task failed; null: it did not")
    at: datetime = Field(description="time, UTC")


class Progress(Answer):
    """Progress of a run's training."""

    stage: str = Field(description="present activity, in words")
    progress: float = Field(description="0 to 1")
    eta_seconds: float | None = Field(default=None, description="estimated seconds left; null if not known")
    metrics: dict[str, float] = Field(default_factory=dict, description="the latest value of each curve")


WebhookFormat = Literal["event", "text"]


class WebhookRequest(Request):
    """A webhook to make."""

    url: Annotated[str, Field(max_length=2000, pattern=r"^https?://[!-~]+$")] = Field(
        description="http or https address that receives the events"
    )
    events: list[Annotated[EventType, Field(strict=False)]] = Field(
        default_factory=lambda: [EventType.RUN_SUCCEEDED, EventType.RUN_FAILED],
        min_length=1,
        max_length=len(EventType),
        description="types of the events to send",
    )
    format: WebhookFormat = Field(
        default="event",
        description="event: the event, as Standard Webhooks lays it out; text: a sentence in the field `text`, which "
        "Slack and Mattermost show",
    )


class Webhook(Answer):
    """An address that events are sent to."""

    id: int = Field(description="number of the webhook")
    url: str = Field(description="address that receives the events")
    events: list[EventType] = Field(description="types of the events that are sent")
    format: WebhookFormat = Field(description="what a body holds: the event, or a sentence")
    owner: str | None = Field(
        default=None, description='who created it: a token\'s name, "administrator" or "local"; null: not known'
    )
    created_at: datetime = Field(description="time of creation, UTC")


class NewWebhook(Webhook):
    """A new webhook with its secret."""

    secret: str = Field(description="key that signs the deliveries; shown once")


class WebhookDelivery(Answer):
    """An event sent to a webhook, and the outcome."""

    id: int = Field(description="number of the delivery")
    event: Event = Field(description="the event that is delivered")
    attempts: int = Field(description="number of attempts so far")
    delivered_at: datetime | None = Field(
        default=None, description="time of the accepted attempt, UTC; null: none was accepted"
    )
    next_attempt_at: datetime | None = Field(
        default=None, description="time of the next attempt, UTC; null: delivered or given up"
    )
    error: str | None = Field(default=None, description="error of the last attempt; null: none")
