"""The progress of an import, and its outcome: the accuracy first."""

import streamlit as st

from densitylab.backend.shared.contracts import Run, Status
from densitylab.backend.shared.statistics.selection import ACCURACY
from densitylab.frontend.analysis.formatting import as_sentence, counted, escaped, joined, run_name
from densitylab.frontend.client.durations import duration
from densitylab.frontend.import_form.inspection_view import show_misfits
from densitylab.frontend.ui.api import REFRESH_SECONDS, api, catalog, show_api_errors
from densitylab.frontend.ui.entry_points import fragment
from densitylab.frontend.ui.query_params import query_int
from densitylab.frontend.ui.run_source import show_accuracy, show_normalization_check

IMPORT = "import"  # of the link: the task of an import
MAX_COMPARED = 60


def show_outcome() -> None:
    """Draw the import that the link names."""
    task_id = query_int(IMPORT)
    if task_id is None:
        return
    task = api().task(task_id)
    run = api().run(task.run) if task.status is Status.SUCCEEDED and task.run is not None else None
    live = not task.status.final or (run is not None and not run.measured and ACCURACY not in run.results)
    with st.container(border=True):
        fragment(run_every=REFRESH_SECONDS if live else None)(_show_import)(task_id, task.status.final, live)


def _show_import(task_id: int, ended: bool, live: bool) -> None:
    """Draw the present state; rerun the whole page once the import has `ended`, and once its accuracy is known."""
    task = api().task(task_id)
    if task.status.final and not ended:
        st.rerun()
    if not task.status.final:
        left = f", {duration(task.eta_seconds)} left" if task.eta_seconds is not None else ""
        st.progress(task.progress, text=f"Importing: {task.stage or 'waiting for a worker'}{left}")
        if st.button("Cancel", key="cancel-import", icon=":material/stop:"):
            with show_api_errors():
                api().cancel_task(task_id)
        return
    if task.status is not Status.SUCCEEDED or task.run is None:
        error = task.error or "The import was cancelled; nothing was stored."
        st.error("  \n".join(escaped(sentence) for sentence in _sentences(error)), icon=":material/error:")
        show_misfits(api().misfits(task_id))
        _show_close()
        return
    run = api().run(task.run)
    if live and ACCURACY in run.results:
        st.rerun()
    _show_run(run)


def _sentences(text: str) -> list[str]:
    """Return the sentences of an error, each for a line of its own."""
    return [as_sentence(part) for part in text.replace(". ", ".\n").splitlines() if part]


def _show_run(run: Run) -> None:
    st.header(escaped(run_name(run, catalog())))
    if ACCURACY not in run.results:
        evaluation = next((item for item in api().evaluations(run.id) if item.name == ACCURACY.partition(".")[0]), None)
        if evaluation is not None and evaluation.error:
            st.error(escaped(evaluation.error), icon=":material/error:")
        else:
            share = evaluation.progress if evaluation is not None else 0.0
            st.progress(share, text="Evaluating the accuracy on the test images")
    else:
        st.markdown("Accuracy on the test images")
        show_accuracy(run)
    for flag in run.flags:
        st.warning(escaped(flag.text), icon=":material/warning:")
    _show_links(run)
    if run.source is not None and run.source.normalization_check is not None:
        show_normalization_check(run.source.normalization_check)


def _show_links(run: Run) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if st.button("Open the run", icon=":material/show_chart:", type="primary"):
            st.switch_page("app_pages/run.py", query_params={"run": str(run.id)})
        if st.button("Saliency maps", icon=":material/blur_on:"):
            st.switch_page("app_pages/saliency.py", query_params={"runs": str(run.id)})
        _show_close()
    others = api().runs(dataset=run.spec.dataset.key, status=Status.SUCCEEDED, limit=200).items
    experiments = {item.experiment: item for item in others if item.experiment != run.experiment}
    if not experiments:
        st.caption("Train a network on the same data set to compare it with this one.")
        return
    names = {item.id: item.name for item in api().experiments(limit=200).items if item.id in experiments}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        experiment = st.selectbox(
            "Compare with an experiment on the same data set",
            list(names),
            key="compare-with",
            format_func=lambda item: f"{item}: {names[item]}",
            width=420,
        )
        beside = [item.id for item in others if item.experiment == experiment]
        if st.button(
            f"Compare with {counted(len(beside), 'run')}", icon=":material/scatter_plot:", disabled=not beside
        ):
            st.switch_page("app_pages/compare.py", query_params={"runs": joined([run.id, *beside[:MAX_COMPARED]])})


def _show_close() -> None:
    if st.button("Import another", key="close-import", icon=":material/add:"):
        st.query_params.pop(IMPORT, None)
        st.rerun(scope="app")
