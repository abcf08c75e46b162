"""The progress of a study that is waited for."""

from dataclasses import dataclass

from densitylab.backend.shared.contracts import Status
from densitylab.backend.shared.contracts.studies import Study
from densitylab.frontend.client.durations import duration
from densitylab.frontend.client.evaluation_progress import evaluations_done

_TRAINING = 0.6  # share of a run's time; the evaluations take the rest
_LEAST = 0.02  # progress since the call from which the time left is estimated


@dataclass(frozen=True)
class StudyState:
    """Progress of the study of `wait_study`; `str()` is one line."""

    study: Study
    done: float  # 0 to 1; 1: all that was launched has ended
    seconds: float  # since the call
    remaining_seconds: float | None  # None: not known yet

    def __str__(self) -> str:
        runs, evaluations = _counts(self.study, "counts"), _counts(self.study, "evaluation_counts")
        line = (
            f"{self.done:4.0%}  {runs.get(Status.SUCCEEDED, 0)} of {sum(runs.values())} trained, "
            f"{evaluations.get(Status.SUCCEEDED, 0)} of {sum(evaluations.values())} evaluations"
        )
        ended = [*runs.items(), *evaluations.items()]
        failed = sum(number for status, number in ended if status.unsuccessful)
        if failed:
            line += f", {failed} failed or cancelled"
        if self.done < 1 and self.remaining_seconds is not None:
            line += f", about {duration(self.remaining_seconds)} left"
        return line


def study_state(study: Study, seconds: float, done_before: float) -> StudyState:
    """Return the state after `seconds`, in which the study has advanced from `done_before`."""
    done = done_share(study)
    gained = done - done_before
    remaining = seconds * (1 - done) / gained if seconds > 0 and gained > _LEAST else study.eta_seconds or None
    return StudyState(study, done, seconds, remaining)


def done_share(study: Study) -> float:
    """Return the completed share of a study: of its training, and of its evaluations."""
    if study.finished:
        return 1.0
    ended, expected = evaluations_done(_counts(study, "evaluation_counts"))
    share = ended / expected if expected else study.progress
    return min(_TRAINING * study.progress + (1 - _TRAINING) * share, 0.999)


def _counts(study: Study, name: str) -> dict[Status, int]:
    total: dict[Status, int] = {}
    for launch in study.launches:
        for status, number in getattr(launch, name).items():
            total[status] = total.get(status, 0) + number
    return total
