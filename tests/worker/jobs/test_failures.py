"""Errors as sentences that a database can store."""

from densitylab.worker.jobs.failures import JobFailed, sentence


def test_what_a_database_refuses_is_escaped():
    assert (
        sentence(JobFailed("weights a\x00b, c\ud800, d\x1b[0m\nnext")) == "weights a\\x00b, c\\ud800, d\\x1b[0m\nnext"
    )
    assert sentence(KeyError("\x00")).isprintable()


def test_a_sentence_has_an_end():
    assert sentence(ValueError("\x00" * 10**6)).endswith("…") and len(sentence(ValueError("x" * 10**6))) == 4000
    assert sentence(ValueError("é" * 4000)) == "é" * 4000
