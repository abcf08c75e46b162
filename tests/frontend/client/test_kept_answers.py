"""Listings that a client keeps: the same items until the API says that they have changed."""

from densitylab.frontend.client import connect
from tests.frontend.conftest import LiveApi


def test_an_unchanged_listing_has_the_same_items_and_a_changed_one_new_ones(live_api: LiveApi):
    first, second = live_api.launch(sweep={"seed": [0, 1]})
    experiment = live_api.client.run(first).experiment
    client = connect(live_api.url, kept_answers=2)
    before = client.runs_of(experiment)
    again = client.runs_of(experiment)
    assert [run.id for run in before] == [first, second]
    assert all(one is other for one, other in zip(before, again, strict=True))
    live_api.fail(second, "an error")
    changed = client.runs_of(experiment)
    assert [run.status for run in changed] == ["queued", "failed"]
    client.close()


def test_a_caller_may_change_its_list(live_api: LiveApi):
    run = live_api.launch()[0]
    experiment = live_api.client.run(run).experiment
    client = connect(live_api.url, kept_answers=2)
    client.runs(experiment=experiment).items.clear()
    assert [item.id for item in client.runs(experiment=experiment).items] == [run]
    client.close()


def test_requests_are_told_apart_and_the_oldest_answer_is_forgotten(live_api: LiveApi):
    runs = live_api.launch(sweep={"seed": [0, 1, 2]})
    client = connect(live_api.url, kept_answers=2)
    for name in (runs[0], runs[1], runs[0]):
        client.runs(name=str(name))
    pages = [client.runs(limit=1, cursor=None).items[0], client.runs(limit=1, sort="id").items[0]]
    assert pages[0] is client.runs(limit=1, cursor=None).items[0] and pages[0].id != pages[1].id
    client.runs(limit=2)  # the third request: that of `sort="id"` is the oldest
    assert client.runs(limit=1, sort="id").items[0] is not pages[1]
    client.close()


def test_without_kept_answers_every_listing_is_read_anew(live_api: LiveApi):
    experiment = live_api.client.run(live_api.launch()[0]).experiment
    client = connect(live_api.url)
    (one,), (other,) = client.runs_of(experiment), client.runs_of(experiment)
    assert one == other and one is not other
    client.close()
