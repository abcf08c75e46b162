"""Messages that survive the jump to another page."""

from streamlit.testing.v1 import AppTest


def test_a_name_in_a_message_is_no_markdown():
    def script():
        from densitylab.frontend.ui.status import flash, show_flash

        flash("Preparing **a** :red[b].")
        show_flash()

    app = AppTest.from_function(script, default_timeout=30).run()
    assert [item.value for item in app.toast] == [r"Preparing \*\*a\*\* \:red\[b\]."]
