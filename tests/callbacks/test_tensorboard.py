"""TensorBoard: scalars, histograms, pictures and text, read back by TensorBoard's own reader."""

import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest

import attendo as at

pytest.importorskip("tensorboardX", reason='writes the events: pip install "attendo[tracking]"')

rng = np.random.default_rng(0)
X = rng.standard_normal((24, 4)).astype(np.float32)
Y = rng.integers(0, 3, 24)
WEIGHTS = rng.dirichlet(np.ones(5), size=(2, 3))  # two heads, (3, 5) each


def trainer():
    model = at.nn.Sequential(at.nn.Linear(4, 6, seed=0), at.nn.ReLU(), at.nn.Linear(6, 3, seed=1))
    return at.train.Trainer(model, at.losses.CrossEntropy(), at.optim.Adam(0.05))


def fit(t, *callbacks, **options):
    return t.fit(X, Y, **{"epochs": 3, "batch_size": 8, "progress": False, "callbacks": callbacks, **options})


class Tell(at.callbacks.Callback):
    """Hands a callback an epoch with a validation."""

    def __init__(self, to):
        self.to, self.infos = to, []

    def on_train_begin(self, trainer):
        self.to.on_train_begin(trainer)

    def on_step(self, trainer, info):
        self.infos.append((trainer.optimizer.steps, dict(info)))
        self.to.on_step(trainer, info)

    def on_epoch_end(self, trainer, info):
        self.to.on_epoch_end(trainer, {**info, "val_loss": 1 / (info["epoch"] + 3), "val_accuracy": 0.5})

    def on_train_end(self, trainer):
        self.to.on_train_end(trainer)


def read(folder):
    module = "tensorboard.backend.event_processing.event_accumulator"
    reader = pytest.importorskip(module, reason="TensorBoard's own reader").EventAccumulator
    events = reader(str(folder), size_guidance={"scalars": 0, "histograms": 0, "images": 0, "tensors": 0})
    return events.Reload()


def pixels(data):
    """A PNG of 8-bit colours whose rows are unfiltered: (height, width, 3)."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    at_data = data.index(b"IDAT")
    (size,) = struct.unpack(">I", data[at_data - 4 : at_data])
    rows = np.frombuffer(zlib.decompress(data[at_data + 4 : at_data + 4 + size]), np.uint8)
    return rows.reshape(height, 1 + 3 * width)[:, 1:].reshape(height, width, 3)


def test_scalars(tmp_path):
    t, tell = trainer(), Tell(at.callbacks.TensorBoard(tmp_path))
    fit(t, tell)
    events = read(tmp_path)
    written = {event.step: event.value for event in events.Scalars("train/loss")}
    told = {step: np.float32(info["loss"]) for step, info in tell.infos}
    assert written == told and max(written) == 9
    assert {event.value for event in events.Scalars("train/lr")} == {np.float32(0.05)}
    assert [(e.step, e.value) for e in events.Scalars("val/loss")] == [
        (3, np.float32(1 / 3)), (6, np.float32(1 / 4)), (9, np.float32(1 / 5))
    ]  # fmt: skip
    assert [e.value for e in events.Scalars("val/accuracy")] == [0.5] * 3
    assert [e.value for e in events.Scalars("train/epoch")] == [1, 2, 3]


def test_histograms_of_weights_and_gradients(tmp_path):
    t = trainer()
    fit(t, at.callbacks.TensorBoard(tmp_path, histograms_every=2), epochs=4)
    events = read(tmp_path)
    names = [name for name, _ in t.model.named_parameters()]
    wanted = {f"{kind}/{name}" for name in names for kind in ("weights", "gradients")}
    assert set(events.Tags()["histograms"]) == wanted
    for name, parameter in t.model.named_parameters():
        for kind, values in (("weights", parameter.numpy()), ("gradients", np.asarray(parameter.grad))):
            first, last = events.Histograms(f"{kind}/{name}")
            assert (first.step, last.step) == (6, 12)
            written, values = last.histogram_value, values.astype(np.float64)
            assert written.num == values.size == sum(written.bucket)
            np.testing.assert_allclose(
                [written.min, written.max, written.sum, written.sum_squares],
                [values.min(), values.max(), values.sum(), (values**2).sum()],
                rtol=1e-6,
            )


def test_pictures_of_attention(tmp_path):
    colours = rng.integers(0, 256, (4, 7, 3), dtype=np.uint8)
    pictures = {"attention": WEIGHTS, "one": WEIGHTS[0], "photo": colours}
    fit(trainer(), at.callbacks.TensorBoard(tmp_path, pictures=lambda trainer: pictures), epochs=2)
    events = read(tmp_path)
    assert sorted(events.Tags()["images"]) == ["attention", "one", "photo"]
    first, last = events.Images("attention")
    assert (first.step, last.step) == (3, 6)
    drawn = pixels(last.encoded_image_string)
    assert drawn.shape == (last.height, last.width, 3) == (3 * 16, 11 * 16, 3)  # 5 + 1 between + 5 columns
    cells = drawn[8::16, 8::16].astype(int)
    light = cells.sum(axis=2)  # the colours go from dark to light
    for head, columns in ((0, slice(0, 5)), (1, slice(6, 11))):
        assert (np.argsort(light[:, columns], axis=None) == np.argsort(WEIGHTS[head], axis=None)).mean() > 0.8
        assert np.unravel_index(light[:, columns].argmax(), (3, 5)) == np.unravel_index(
            WEIGHTS[head].argmax(), (3, 5)
        )
    np.testing.assert_array_equal(pixels(events.Images("photo")[-1].encoded_image_string), colours)


def test_text(tmp_path):
    t = trainer()
    fit(t, at.callbacks.TensorBoard(tmp_path, text={"note": "what I tried"}), epochs=1)
    events = read(tmp_path)

    def text(name):
        (event,) = events.Tensors(f"{name}/text_summary")
        return event.tensor_proto.string_val[0].decode()

    assert text("note") == "what I tried"
    assert "Linear(in_features=4, out_features=6)" in text("model")
    assert "Adam" in text("settings") and "CrossEntropy" in text("settings")


def test_training_that_goes_on_takes_the_place_of_what_came_after(tmp_path):
    """Killed after step 9, resumed from a checkpoint of step 6: TensorBoard shows each step once."""
    import time

    lost = trainer()
    fit(lost, at.callbacks.TensorBoard(tmp_path))
    resumed = trainer()
    fit(resumed, epochs=2)
    time.sleep(1.1)  # the name of an event file holds the second
    fit(resumed, at.callbacks.TensorBoard(tmp_path), epochs=2)
    steps = [event.step for event in read(tmp_path).Scalars("train/epoch")]
    assert steps == [3, 6, 9, 12]


def test_nothing_is_written_twice_and_no_warning_after_an_error(tmp_path):
    class Fail(at.callbacks.Callback):
        def on_epoch_end(self, trainer, info):
            raise KeyboardInterrupt

    board = at.callbacks.TensorBoard(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        fit(trainer(), board, Fail())
    assert board._writer is None
    assert [e.step for e in read(tmp_path).Scalars("train/epoch")] == [3]


def test_weights_that_are_not_finite_are_left_out(tmp_path):
    t = trainer()
    weight = t.model.named_parameters()[0][1]
    weight.assign(np.full(weight.shape, np.nan, np.float32))
    board = at.callbacks.TensorBoard(tmp_path)
    board.on_train_begin(t)
    board.on_epoch_end(t, {"epoch": 0, "loss": float("nan"), "lr": 0.1})
    board.on_train_end(t)
    tags = read(tmp_path).Tags()["histograms"]
    assert "weights/0.weight" not in tags and "weights/0.bias" in tags


def test_bad_arguments(tmp_path):
    with pytest.raises(ValueError, match="histograms_every is -1"):
        at.callbacks.TensorBoard(tmp_path, histograms_every=-1)
    with pytest.raises(ValueError, match="png: image has shape"):
        fit(trainer(), at.callbacks.TensorBoard(tmp_path, pictures=lambda t: {"x": np.ones(3)}), epochs=1)


@pytest.mark.parametrize(
    "options",
    [
        {"folder": 3},
        {"folder": None},
        {"histograms_every": "a"},
        {"histograms_every": 1.5},
        {"histograms_every": True},
        {"histograms_every": None},
        {"pictures": {"x": WEIGHTS}},
        {"text": {"a": 3}},
        {"text": {3: "a"}},
        {"text": "a"},
        {"text": ["a"]},
    ],
    ids=lambda options: "-".join(options) + "-" + type(*options.values()).__name__,
)
def test_an_argument_of_the_wrong_type_is_named(options, tmp_path):
    (name,) = options
    wrong = rf"TensorBoard: {name}(\['a'\])? (is|has the key) .*but must be"
    with pytest.raises(TypeError, match=wrong):
        at.callbacks.TensorBoard(**{"folder": tmp_path, **options})
    assert at.callbacks.TensorBoard(tmp_path, histograms_every=np.int64(2))._every == 2


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match=r"TensorBoard: folder is .*file', a file, but must be a folder"):
        at.callbacks.TensorBoard(tmp_path / "file")


@pytest.mark.parametrize(
    ("returned", "error", "message"),
    [
        (None, TypeError, "returned None but must return a dict of arrays by name"),
        (WEIGHTS, TypeError, "returned array.* but must return a dict of arrays by name"),
        ({3: WEIGHTS}, TypeError, "returned {3: .* but must return a dict of arrays by name"),
        ({"x": None}, TypeError, "returned 'x': it has dtype object"),
        ({"x": "text"}, TypeError, "returned 'x': it has dtype <U4"),
        ({"x": WEIGHTS * 1j}, TypeError, "returned 'x': it has dtype complex128"),
        ({"x": [[1], [1, 2]]}, ValueError, "returned 'x': .*inhomogeneous"),
        ({"x": WEIGHTS[:0]}, ValueError, r"returned 'x': it has dtype float64 and shape \(0, 3, 5\)"),
        ({"x": np.ones(3)}, ValueError, "returned 'x': png: image has shape"),
        ({"x": np.ones((2, 3, 4, 5))}, ValueError, "returned 'x': png: image has shape"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_pictures_returns_is_looked_at(returned, error, message, tmp_path):
    board = at.callbacks.TensorBoard(tmp_path, pictures=lambda t: returned)
    with pytest.raises(error, match=f"(?s)^TensorBoard: pictures {message}"):
        fit(trainer(), board, epochs=1)


MISSING = """
import sys
sys.modules["tensorboardX"] = sys.modules["wandb"] = None
import attendo as at
for make in (lambda: at.callbacks.TensorBoard("x"), lambda: at.callbacks.WandB("x")):
    try:
        make()
    except ImportError as error:
        print(error)
"""


def test_a_missing_package_is_named_with_its_extra():
    out = subprocess.run([sys.executable, "-c", MISSING], capture_output=True, text=True, check=True).stdout
    assert 'pip install "attendo[tracking]"' in out and 'pip install "attendo[wandb]"' in out
