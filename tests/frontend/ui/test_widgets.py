"""Controls drawn from parameters, whatever these are called."""

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from densitylab.backend.shared.contracts import FieldError
from densitylab.frontend.analysis.formatting import escaped
from densitylab.frontend.ui.widgets import FieldErrors, numbers_text, parse_numbers


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("0, 0.1, 1", float, [0, 0.1, 1]),
        ("  1e-3;2 3,", float, [0.001, 2, 3]),
        ("3, 1, 3", int, [3, 1]),
        ("0.1;1", float, [0.1, 1]),
        ("0,0.1,1", float, [0, 0.1, 1]),
        ("0,1, 5", int, [0, 1, 5]),
        ("0-4", int, [0, 1, 2, 3, 4]),
        ("7, 2–3 3", int, [7, 2, 3]),
        ("-1", int, [-1]),
        ("-1", float, [-1]),  # whether it may be negative is for the API to say
    ],
)
def test_numbers_are_read(text: str, kind: Any, expected: list[float]):
    assert parse_numbers(text, kind) == expected


@pytest.mark.parametrize(
    ("text", "kind", "complaint"),
    [
        ("", float, "at least one"),
        ("0.1, x", float, "'x' is not a number"),
        ("0.5", int, "'0.5' is not a whole number"),
        ("4-0", int, "'4-0' is no range of at most 1,000 numbers"),
        ("0-1000", int, "no range of at most 1,000"),
        ("0-4", float, "'0-4' is not a number"),
        ("nan", float, "finite"),
        ("inf", float, "finite"),
        ("1e-400", float, "rounds to 0; write 0, or a larger number"),
        ("1,5 2", float, "'1,5' may be 1.5, or 1 and 5; write decimals with a point"),
        ("0; 0,5", float, "'0,5' may be 0.5"),
        ("0, 0,1", float, "'0,1' may be 0.1"),
    ],
)
def test_what_is_not_a_number_is_named(text: str, kind: Any, complaint: str):
    with pytest.raises(ValueError, match=complaint):
        parse_numbers(text, kind)


@pytest.mark.parametrize("values", [[0, 1, 0.1], [0.1234567, 1e-7], [2**31 - 1, 1_234_567], [1 / 3, 1e6]])
def test_numbers_as_text_are_read_as_the_same_numbers(values: list[float]):
    assert parse_numbers(numbers_text(values), type(values[-1])) == values


def test_text_of_others_is_not_markdown():
    assert escaped("a*b_[c](d) :red[e]") == r"a\*b\_\[c\](d) \:red\[e\]"


def drawn(**param: Any) -> AppTest:
    def script(given: dict) -> None:
        import streamlit as st

        from densitylab.backend.shared.contracts import CatalogParam, FieldError
        from densitylab.frontend.client.catalog import Catalog
        from densitylab.frontend.ui.widgets import FieldErrors, control

        param = CatalogParam.model_validate(given)
        errors = FieldErrors([FieldError(pointer="/spec/x", detail="too much")])
        value = control(param, param.default, key="k", at="/spec/x", catalog=Catalog({}), errors=errors)
        st.session_state["value"] = value
        st.session_state["left"] = errors.left

    whole = {
        "name": "made_up",
        "label": "",
        "help": "what it does",
        "minimum": None,
        "maximum": None,
        "exclusive_minimum": False,
        "choices": [],
        "optional": False,
        "kind": None,
        **param,
    }
    return AppTest.from_function(script, args=(whole,)).run()


def test_a_whole_number_with_bounds():
    app = drawn(type="int", default=3, minimum=1, maximum=9)
    (control,) = app.number_input
    assert (control.label, control.help) == ("Made up", "what it does")
    assert app.session_state["value"] == 3
    assert type(control.set_value(5).run().session_state["value"]) is int


@pytest.mark.parametrize("value", [0, -1, 99_999_999, 1.5])
@pytest.mark.parametrize("kind", ["int", "float"])
def test_the_value_is_the_number_that_the_input_shows_also_out_of_bounds(kind: str, value: float):
    app = drawn(type=kind, default=3, minimum=1, maximum=9)
    app = app.number_input[0].set_value(value).run()
    assert app.session_state["value"] == app.number_input[0].value == value
    # With bounds the browser would keep such a number for itself
    assert app.number_input[0].min is None and app.number_input[0].max is None


def test_a_number_that_may_be_left_out():
    app = drawn(type="float", default=None, optional=True, minimum=0.0, exclusive_minimum=True)
    assert app.session_state["value"] is None
    assert app.number_input[0].set_value(0.25).run().session_state["value"] == 0.25


def test_choices_keep_their_type():
    app = drawn(type="int", default=2, choices=[1, 2])
    assert app.session_state["value"] == 2
    assert app.selectbox[0].select_index(0).run().session_state["value"] == 1


def test_true_or_false():
    app = drawn(type="bool", default=True)
    assert app.checkbox[0].uncheck().run().session_state["value"] is False


def test_several_numbers():
    app = drawn(type="floats", default=[0.1])
    assert app.text_input[0].set_value("0.1, 0.3").run().session_state["value"] == [0.1, 0.3]
    app = app.text_input[0].set_value("x").run()
    assert any("'x' is not a number" in item.value for item in app.markdown)


def test_the_error_stands_beside_its_field():
    app = drawn(type="str", default="a")
    assert "Too much" in app.markdown[0].value
    assert app.session_state["left"] == []


@pytest.mark.parametrize(
    "param",
    [
        {"type": "float", "default": 7.0, "maximum": 1.0},
        {"type": "int", "default": "seven"},
        {"type": "int", "default": True},
        {"type": "floats", "default": ["a"]},
        {"type": "bool", "default": "yes"},
    ],
)
def test_a_value_that_no_control_can_hold_is_said(param: dict[str, Any]):
    def script(given: dict) -> None:
        from densitylab.backend.shared.contracts import CatalogParam
        from densitylab.frontend.client.catalog import Catalog
        from densitylab.frontend.ui.widgets import FieldErrors, control

        start = {"float": 0.5, "int": 1, "floats": [0.1], "bool": False}[given["type"]]
        param = CatalogParam.model_validate({**given, "default": start})
        control(param, given["default"], key="k", at="", catalog=Catalog({}), errors=FieldErrors())

    whole = {
        "name": "x",
        "label": "X",
        "help": "",
        "minimum": None,
        "maximum": None,
        "exclusive_minimum": False,
        "choices": [],
        "optional": False,
        "kind": None,
        **param,
    }
    app = AppTest.from_function(script, args=(whole,)).run()
    assert not app.exception
    assert "cannot be" in app.markdown[0].value and "the default is shown" in app.markdown[0].value


def test_an_error_is_shown_once_and_others_are_left():
    errors = FieldErrors([FieldError(pointer="/spec/xy", detail="a"), FieldError(pointer="/spec/x/0", detail="b")])
    errors.show("/spec/x")
    assert [error.detail for error in errors.left] == ["a"]
