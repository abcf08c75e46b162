"""Weights that torchvision publishes, from a server on this machine that stands in for the one of the download."""

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from torchvision.models import get_model, get_model_weights

from densitylab.worker.models.pretrained import NoPretrainedWeights, imagenet_weights

NAME = "squeezenet1_1"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Give the address of a server and the folder of its files."""
    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()


def publish(monkeypatch: pytest.MonkeyPatch, address: str, file: str) -> None:
    monkeypatch.setattr(get_model_weights(NAME).DEFAULT.value, "url", f"{address}/{file}")
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_weights_are_downloaded_once_and_their_checksum_is_verified(
    cache: Path, server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
):
    address, folder = server
    state = get_model(NAME).state_dict()
    torch.save(state, folder / "weights.pth")
    content = (folder / "weights.pth").read_bytes()
    file = f"{NAME}-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    (folder / "weights.pth").rename(folder / file)
    publish(monkeypatch, address, file)
    assert all(torch.equal(value, state[name]) for name, value in imagenet_weights(NAME).items())
    (folder / file).unlink()
    assert imagenet_weights(NAME).keys() == state.keys()  # from the cache

    other = f"{NAME}-0a1b2c3d.pth"
    (folder / other).write_bytes(content)
    publish(monkeypatch, address, other)
    with pytest.raises(NoPretrainedWeights, match="its checksum is another one: a proxy may have answered"):
        imagenet_weights(NAME)
    assert sorted(path.name for path in cache.iterdir()) == [file]


def test_a_server_without_the_file_is_a_sentence(
    cache: Path, server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
):
    publish(monkeypatch, server[0], "gone-0a1b2c3d.pth")
    with pytest.raises(NoPretrainedWeights, match=r"could not be downloaded from http.* \(HTTP Error 404.*go online"):
        imagenet_weights(NAME)
