"""The system: workers, queues, broker, database, disk and versions."""

import pandas as pd
import streamlit as st

from densitylab.backend.shared.contracts import QueueName, System, Worker
from densitylab.frontend.analysis.formatting import escaped, size
from densitylab.frontend.analysis.machine_load import load_text, machine_loads
from densitylab.frontend.client.durations import duration
from densitylab.frontend.ui.api import REFRESH_SECONDS, api
from densitylab.frontend.ui.entry_points import fragment
from densitylab.frontend.ui.folded import folded


def show_workers(system: System) -> None:
    st.header("Workers")
    if not system.workers:
        st.warning("No worker is running: new runs wait. Start the system with `make up`.", icon=":material/warning:")
        return
    table = pd.DataFrame([as_row(worker) for worker in system.workers])
    if not table["Device memory"].any():
        table = table.drop(columns="Device memory")  # no worker has a GPU
    st.dataframe(
        table,
        hide_index=True,
        key="workers",
        column_config={
            "Progress": st.column_config.ProgressColumn(min_value=0, max_value=100, format="%d %%", width="small")
        },
    )
    served = {queue for worker in system.workers for queue in worker.queues}
    idle = [queue.value for queue in QueueName if queue not in served]
    if idle:
        st.warning(f"No worker serves these queues: {', '.join(idle)}.", icon=":material/warning:")


def show_load(system: System) -> None:
    """Draw the load of every machine that workers report."""
    for load in machine_loads(system.workers):
        st.caption(escaped(load_text(load)), help="Processes that compute or wait for a processor, mean of a minute.")


def as_row(worker: Worker) -> dict[str, object]:
    task = worker.task
    activity = "idle"
    if task is not None:
        activity = (
            f"{task.kind.value} of run {task.run}: {task.stage}" if task.run else f"{task.kind.value}: {task.stage}"
        )
    return {
        "Worker": worker.name,
        "Activity": activity,
        "Progress": None if task is None else round(100 * task.progress),
        "Time left": "" if task is None or task.eta_seconds is None else duration(task.eta_seconds),
        "Memory": "" if worker.memory_bytes is None else size(worker.memory_bytes),
        "Device": worker.device or "",
        "Device memory": "" if worker.device_memory_bytes is None else size(worker.device_memory_bytes),
        "Host": worker.host,
        "Queues": ", ".join(queue.value for queue in worker.queues),
        "Since (UTC)": f"{worker.since:%b %d, %H:%M}",
    }


def show_services(system: System) -> None:
    broker, database, disk = system.broker, system.database, system.disk
    st.header("Queues")
    with st.container(horizontal=True):
        for queue in QueueName:
            waiting = system.queues.get(queue)  # None where the broker does not answer
            show_figure(queue.value.capitalize(), "?" if waiting is None else str(waiting), "Jobs in this queue")
        show_figure("Running", str(system.running), f"Running tasks; {system.queued} more are waiting")
    if broker.status != "ok":
        st.warning(
            f"The broker is not available: {escaped(broker.status)}. New runs wait and start when it is back.",
            icon=":material/warning:",
        )
    st.header("Broker, database and disk")
    memory = f", {size(broker.bytes)} of memory" if broker.bytes is not None else ""
    with st.container(horizontal=True):
        show_figure("Broker", "✓ ok" if broker.status == "ok" else "✕ down", f"{broker.version or ''}{memory}")
        show_figure("Database", size(database.bytes), f"{database.kind} {database.version}, schema {database.revision}")
        show_figure("Runs", size(disk.runs_bytes), "Checkpoints and results of runs")
        show_figure("Maps", size(disk.maps_bytes), "Computed saliency maps")
        show_figure("Data sets", size(disk.data_bytes), f"Backups of the database take {size(disk.backups_bytes)}")
        show_figure("Disk free", size(disk.free_bytes), f"of {size(disk.total_bytes)}")
    for text in disk.problems:
        st.warning(f"{escaped(text)} Delete runs that you no longer need.", icon=":material/warning:")


def show_figure(label: str, value: str, help: str) -> None:
    """Draw a figure so wide that two stand side by side on a phone."""
    st.metric(label, value, help=help, width=150)


def show_plugins(system: System) -> None:
    if not system.plugins:
        return
    st.header("Plug-ins")
    for plugin in system.plugins:
        entries = ", ".join(plugin.entries) or "no entries"
        st.markdown(f"**{escaped(plugin.package)}** {escaped(plugin.version)}: {escaped(entries)}")
        for text in plugin.problems:
            st.warning(escaped(text), icon=":material/extension_off:")


def show_versions(system: System) -> None:
    table = pd.DataFrame(system.versions.items(), columns=["Component", "Version"])
    folded("Versions", lambda: st.dataframe(table, hide_index=True), key="versions")


st.title("System")


@fragment(run_every=2 * REFRESH_SECONDS)
def show_system() -> None:
    system = api().system()
    show_workers(system)
    show_load(system)
    show_services(system)
    show_plugins(system)
    show_versions(system)


show_system()
