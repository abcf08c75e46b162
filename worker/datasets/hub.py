"""Data sets on the Hugging Face Hub: their data files alone, so no code of theirs is downloaded or run."""

from __future__ import annotations

import errno
from pathlib import Path

from densitylab.worker.datasets.image_source import BadTree

_DATA = ("*.parquet", "*.arrow", "*.csv", "*.tsv", "*.jsonl", "*.npz", "*.npy", "dataset_info.json")
_SECONDS = 10.0  # without an answer


def folder_of(name: str, folder: Path) -> Path:
    """Return the folder that has a data set's files, in the folder of downloads."""
    return folder / f"hub--{name.replace('/', '--')}"


def download(name: str, folder: Path, suffixes: tuple[str, ...]) -> None:
    """Download a data set's files to `folder_of`.

    Args:
        name: owner/name on the Hub.
        folder: of downloads; files that it has already are not downloaded again.
        suffixes: endings of images.

    Raises:
        BadTree: there is no such public data set, the Hub can't be reached, or its package is not installed.
    """
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError:
        raise BadTree(
            "data sets of the Hugging Face Hub need the package huggingface-hub on the workers: install "
            "densitylab[huggingface], or download the data set and register its folder"
        ) from None
    try:
        snapshot_download(
            name,
            repo_type="dataset",
            local_dir=folder_of(name, folder),
            token=False,  # what this machine may read is not for every user
            etag_timeout=_SECONDS,
            allow_patterns=[*_DATA, *(f"*{suffix}" for suffix in suffixes)],
        )
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        if isinstance(error, HfHubHTTPError) and not isinstance(error, LocalEntryNotFoundError):
            raise BadTree(f"there is no public data set {name} on the Hugging Face Hub") from None
        raise _unreachable(name) from None
    except ValueError as error:
        raise BadTree(f"{name} is no name of a data set on the Hugging Face Hub: {error}") from None
    except Exception as error:  # of the HTTP library, which depends on the package's version
        if not type(error).__module__.startswith("http"):
            raise
        raise _unreachable(name) from None


def _unreachable(name: str) -> BadTree:
    return BadTree(
        f"the Hugging Face Hub can't be reached from the workers, so {name} can't be downloaded: download it "
        "elsewhere, place it in the data folder and register that folder"
    )
