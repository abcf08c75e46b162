"""The pages say who launched runs and experiments and registered data sets, where there are several users."""

import pytest
from sqlalchemy import update

from densitylab.backend.shared.tables import ExperimentRow, RunRow
from tests.frontend.page_text import page_text

pytestmark = pytest.mark.timeout(120)


def set_owner(live_api, name):
    with live_api.database.write() as session:
        for table in (RunRow, ExperimentRow):
            session.execute(update(table).values(owner=name, owner_token=1))


def test_the_owner_is_named_on_every_page(page, live_api):
    (run,) = live_api.launch({"epochs": 2, "evaluations": []})
    live_api.finish(run)
    experiment = live_api.client.run(run).experiment
    set_owner(live_api, "ada *lovelace*")
    for name, query in (
        ("run", {"run": str(run)}),
        ("experiment", {"experiment": str(experiment)}),
        ("experiments", {}),
    ):
        assert r"by ada \*lovelace\*" in page_text(page.open(name, **query)), name
    (table,) = page.open("runs").dataframe
    assert set(table.value["Owner"]) == {"ada *lovelace*"}


@pytest.mark.parametrize("owner", ["local", None])
def test_nobody_is_named_where_there_is_one_user(page, live_api, owner):
    (run,) = live_api.launch({"epochs": 2, "evaluations": []})
    set_owner(live_api, owner)
    assert " by " not in page_text(page.open("run", run=str(run))).replace("selected by", "").split("created")[1][:40]
    (table,) = page.open("runs").dataframe
    assert "Owner" not in table.value
