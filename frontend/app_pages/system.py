"""The system: its workers and what each does, its queues, broker, database, disk and versions."""

import pandas as pd
import streamlit as st

from backend.shared.contracts import QueueName, System, Worker
from frontend.parts import REFRESH_SECONDS, api, problems_shown
from frontend.words import duration, escaped, size

LOW_DISK = 0.05  # of the disk


def show_workers(system: System) -> None:
    st.subheader("Workers")
    if not system.workers:
        st.warning("No worker answers: what is launched waits. Start the system with `make up`.",
                   icon=":material/warning:")
        return
    table = pd.DataFrame([as_row(worker) for worker in system.workers])
    if not table["Device memory"].any():
        table = table.drop(columns="Device memory")  # no worker has a GPU
    st.dataframe(
        table, hide_index=True, key="workers",
        column_config={"Progress": st.column_config.ProgressColumn(min_value=0, max_value=100, format="%d %%",
                                                                   width="small")},
    )
    served = {queue for worker in system.workers for queue in worker.queues}
    idle = [queue.value for queue in QueueName if queue not in served]
    if idle:
        st.warning(f"No worker serves: {', '.join(idle)}.", icon=":material/warning:")


def as_row(worker: Worker) -> dict[str, object]:
    task = worker.task
    doing = "waits for work"
    if task is not None:
        doing = f"{task.kind.value} of run {task.run}: {task.stage}" if task.run else f"{task.kind.value}: {task.stage}"
    return {
        "Worker": worker.name,
        "Does": doing,
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
    st.subheader("Queues")
    cells = st.columns(len(QueueName) + 1)
    for cell, queue in zip(cells, QueueName, strict=False):
        # None where the broker does not answer
        waiting = system.queues.get(queue)
        cell.metric(queue.value.capitalize(), "?" if waiting is None else waiting, help="Jobs that wait in this queue")
    cells[-1].metric("Running", system.running, help=f"Tasks at work now; {system.queued} wait, with those that come "
                                                     "after others")
    if broker.status != "ok":
        st.warning(f"The broker says: {escaped(broker.status)}. What is launched waits, and starts when it is back.",
                   icon=":material/warning:")
    st.subheader("Broker, database and disk")
    cells = st.columns(6)
    memory = f", {size(broker.bytes)} of memory" if broker.bytes is not None else ""
    cells[0].metric("Broker", "✓ ok" if broker.status == "ok" else "✕ down", help=f"{broker.version or ''}{memory}")
    cells[1].metric("Database", size(database.bytes), help=f"{database.kind} {database.version}, schema "
                                                           f"{database.revision}")
    cells[2].metric("Runs", size(disk.runs_bytes), help="Checkpoints and results of runs")
    cells[3].metric("Maps", size(disk.maps_bytes), help="Saliency maps that were asked for")
    cells[4].metric("Data sets", size(disk.data_bytes), help=f"Backups of the database take {size(disk.backups_bytes)}")
    cells[5].metric("Disk free", size(disk.free_bytes), help=f"of {size(disk.total_bytes)}")
    if disk.free_bytes < LOW_DISK * disk.total_bytes:
        st.warning(f"Only {size(disk.free_bytes)} of the disk are free: delete runs that are not needed any more.",
                   icon=":material/warning:")


def show_versions(system: System) -> None:
    with st.expander("Versions"):
        st.dataframe(pd.DataFrame(system.versions.items(), columns=["What", "Version"]), hide_index=True)


st.title("System")


@st.fragment(run_every=2 * REFRESH_SECONDS)
def show_system() -> None:
    with problems_shown(retrying=True):
        system = api().system()
        show_workers(system)
        show_services(system)
        show_versions(system)


show_system()
