"""The search for a word answers as if it read every text, and its indexes follow the runs and experiments."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event, text

from densitylab.backend.reconciler import System
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.store import experiments, run_filters, run_listing, runs, word_index
from densitylab.backend.shared.store.run_filters import Filter
from densitylab.backend.shared.tables import ExperimentRow, RunRow

# With letters that differ in case beyond ASCII or grow when folded, and what LIKE, JSON and FTS5 give a meaning
_ALPHABET = "abAB01üÜλΛßẞİıſKé\u0301漢😀%_/\\\"'*^-:() \n"
_TAGS = ("best", "Üλ.1", "a:b-c", "ßß", "x_y", "漢字")


@pytest.fixture(autouse=True)
def _indexes_are_used(database: Database) -> None:
    """Let PostgreSQL use its indexes: it would read tables as small as these."""

    def set_up(connection: Any, _record: Any) -> None:
        connection.execute("SET enable_seqscan = off")
        connection.commit()

    if database.engine.dialect.name == "postgresql":
        event.listen(database.engine, "connect", set_up)


def _texts(chance: random.Random) -> dict[str, Any]:
    def some(longest: int) -> str:
        return "".join(chance.choices(_ALPHABET, k=chance.randrange(longest)))

    return {"name": some(12), "notes": some(40), "tags": chance.sample(_TAGS, chance.randrange(3))}


def _words(chance: random.Random, texts: list[str], count: int) -> list[str]:
    """Return parts of the texts, some of them in upper case or with another character."""
    words = []
    while len(words) < count:
        source = chance.choice(texts)
        start = chance.randrange(len(source) + 1)
        word = source[start : start + chance.randrange(1, 9)]
        if chance.random() < 0.3:
            word = word.upper()
        if chance.random() < 0.3:
            word += chance.choice(_ALPHABET)
        if word:
            words.append(word)
    return words


def _text(run: RunRow) -> str:
    return "\n".join((str(run.id), run.name or "", run.notes, *run.tags, run.dataset, run.model, run.regularizer))


def check_indexes(database: Database) -> None:
    """Fail if an index of SQLite does not have exactly the texts of the tables."""
    if database.engine.dialect.name != "sqlite":
        return  # PostgreSQL keeps its own
    with database.write() as session:
        for index in (word_index.RUNS.name, word_index.EXPERIMENTS.name):
            session.execute(text(f"INSERT INTO {index} ({index}, rank) VALUES ('integrity-check', 1)"))


def test_runs_are_those_whose_text_has_the_word(work: Any, system: System, monkeypatch: pytest.MonkeyPatch):
    chance = random.Random(0)
    members = work.launch({"evaluations": []}, {"seed": list(range(30))})
    for step in range(3):
        with system.database.write() as session:
            for run_id in chance.sample(members, 15):
                runs.patch(session, run_id, _texts(chance))
        with system.database.read() as session:
            texts = {run.id: _text(run) for run in session.query(RunRow)}
        monkeypatch.setattr(run_filters, "FEW", (1000, 2, 0)[step])
        run_filters._each.cache_clear()
        for word in _words(chance, list(texts.values()), 40):
            expected = [run_id for run_id in members if word.casefold() in texts[run_id].casefold()]
            filters = Filter(query=word, archived=())
            with system.database.read() as session:
                for descending in (False, True):
                    listed = run_listing.sorted_runs(session, filters, sort="id", descending=descending)
                    assert [run.id for run in listed] == expected[:: -1 if descending else 1], word
                assert run_listing.count(session, filters) == len(expected)
    check_indexes(system.database)


def test_experiments_are_those_that_were_found_without_an_index(
    work: Any, system: System, monkeypatch: pytest.MonkeyPatch
):
    chance = random.Random(0)
    with system.database.write() as session:
        numbers = [
            experiments.create(session, **_texts(chance), request={}, planned=[], provenance={}).id for _ in range(25)
        ]
        for number in numbers[::3]:
            experiments.patch(session, number, _texts(chance))
        experiments.remove(session, numbers.pop())
    with system.database.read() as session:
        texts = [part for row in session.query(ExperimentRow) for part in (row.name, row.notes, *row.tags)]

    def found() -> list[list[int]]:
        pages = []
        with system.database.read() as session:
            for word in words:
                for before in (None, numbers[12]):
                    listed = experiments.listing(session, before=before, limit=5, archived=None, query=word)
                    pages.append([item.id for item in listed])
        return pages

    words = _words(chance, texts, 40)
    with_index = found()
    monkeypatch.setattr(word_index, "serves", lambda *_: False)
    assert found() == with_index and any(with_index)
    check_indexes(system.database)


def test_a_word_is_read_in_each_tag_and_not_in_their_json(work: Any, system: System, client: TestClient):
    texts = {"name": "x", "notes": ""}
    with system.database.write() as session:
        for tags in ([], ["größe", "b"], ["a[, ]b", 'say "u00"']):
            experiments.create(session, **texts, tags=tags, request={}, planned=[], provenance={})

    def found(word: str) -> list[int]:
        items = client.get("/api/v1/experiments", params={"q": word}).raise_for_status().json()["items"]
        return [item["id"] for item in items]

    words = ["[", "[]", "]", ",", ", ", '"', '", "', "u00", "u00f6", "größ", "GRöß", "b", 'say "U']
    expected = [[3], [], [3], [3], [3], [3], [], [3], [], [2], [2], [3, 2], [3]]
    assert [found(word) for word in words] == expected


def test_the_indexes_follow_all_that_changes_a_run(work: Any, system: System, client: TestClient):
    first, second = work.launch({"evaluations": []}, {"seed": [0, 1]})

    def found(word: str, path: str = "runs", **query: Any) -> list[int]:
        items = client.get(f"/api/v1/{path}", params={"q": word, "sort": "id", **query}).raise_for_status().json()
        return [item["id"] for item in items["items"]]

    change: Callable[..., Any] = client.patch
    change(f"/api/v1/runs/{first}", json={"name": "Größe"}).raise_for_status()
    assert found("GRÖSSE") == [first]
    change(f"/api/v1/runs/{first}", json={"name": "other", "tags": ["größer"]}).raise_for_status()
    assert found("GRÖSSE") == [first] and found("othe") == [first] and found("größe\n") == []
    change(f"/api/v1/runs/{first}", json={"archived": True}).raise_for_status()
    assert found("größer") == [] and found("größer", archived=True) == [first]
    change("/api/v1/experiments/1", json={"notes": "an unusual note"}).raise_for_status()
    assert [item["id"] for item in client.get("/api/v1/experiments", params={"q": "USUAL"}).json()["items"]] == [1]
    check_indexes(system.database)
    for run_id in (first, second):
        client.post(f"/api/v1/runs/{run_id}/cancel").raise_for_status()
    client.delete("/api/v1/experiments/1").raise_for_status()
    assert found("größer", archived=True) == found("blockmnist") == []
    with system.database.read() as session:
        assert session.execute(text("SELECT count(*) FROM run_texts")).scalar_one() == 0
    check_indexes(system.database)
