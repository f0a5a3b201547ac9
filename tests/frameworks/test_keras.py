"""The callbacks for Keras 3, in real small trainings on the torch backend."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List

import pytest
from log_view import LogView

import wandb
from wandb.errors import ValidationError

pytestmark = pytest.mark.frameworks

# Keras is imported where it is used: this file is collected where there is none, too.


@pytest.fixture(autouse=True)
def on_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")


def net(n_outputs: int = 1, *layers: Any) -> Any:
    import keras

    keras.utils.set_random_seed(1)
    first = [keras.layers.Input((4,)), keras.layers.Dense(3, name="first")]
    last = keras.layers.Dense(n_outputs, name="last")
    model = keras.Sequential([*first, *layers, last])
    model.compile("sgd", loss="mse")
    return model


def data(n_outputs: int = 1) -> Any:
    import numpy as np

    numbers = np.random.default_rng(0)
    x = numbers.normal(size=(16, 4)).astype("float32")
    return x, np.repeat(x.sum(axis=1, keepdims=True), n_outputs, axis=1)


def fit(model: Any, callback: Any, epochs: int = 2, x: Any = None, y: Any = None) -> None:
    if x is None:
        x, y = data(model.output_shape[-1])
    model.fit(
        x,
        y,
        validation_data=(x, y),
        epochs=epochs,
        batch_size=8,
        verbose=0,
        shuffle=False,
        callbacks=[callback],
    )


def rows(run: Any) -> List[Dict[str, Any]]:
    found = LogView(run.sync_dir).rows()
    return [{key: value for key, value in row.items() if key != "_step"} for row in found]


def artifacts(run: Any) -> List[Any]:
    return LogView(run.sync_dir).of("artifact")


def files_of(artifact: Any) -> List[str]:
    return [entry.path for entry in artifact.manifest.contents]


# ---- the callbacks of today


@pytest.mark.parametrize("package", ["wandb.integration.keras", "wandb.keras", "wandb.framework.keras"])
def test_every_path_has_the_same_classes(package: str) -> None:
    import importlib

    import wandb.framework.keras as home

    found = importlib.import_module(package)
    for name in home.__all__:
        assert getattr(found, name) is getattr(home, name)
    assert wandb.keras.WandbCallback is home.WandbCallback


@pytest.mark.parametrize("name", ["WandbCallback", "WandbMetricsLogger"])
def test_before_init(name: str) -> None:
    import wandb.framework.keras as home

    with pytest.raises(wandb.Error, match="wandb.init"):
        getattr(home, name)()


def test_metrics_have_their_axes(wandb_init_run: Any) -> None:
    from wandb.integration.keras import WandbMetricsLogger

    fit(net(), WandbMetricsLogger())
    names = ["epoch/epoch", "epoch/learning_rate", "epoch/loss", "epoch/val_loss"]
    assert [sorted(row) for row in rows(wandb_init_run)] == [names, names]
    assert [row["epoch/epoch"] for row in rows(wandb_init_run)] == [0, 1]
    globs = {metric.glob_name: metric.step_metric for metric in LogView(wandb_init_run.sync_dir).of("metric")}
    assert globs["epoch/*"] == "epoch/epoch"


def test_a_learning_rate_that_cannot_be_told_is_left_out(wandb_init_run: Any, capsys: Any) -> None:
    from wandb.integration.keras import WandbMetricsLogger

    class Logger(WandbMetricsLogger):  # type: ignore[misc, unused-ignore]
        model = None

        def __init__(self) -> None:
            super().__init__("batch")
            self.model = type("Model", (), {"optimizer": type("Optimizer", (), {"learning_rate": "?"})})

    Logger().on_train_batch_end(0, {"loss": 1.0})
    assert rows(wandb_init_run) == [{"batch/loss": 1.0, "batch/batch_step": 0}]


def test_each_saved_model_is_a_version(wandb_init_run: Any) -> None:
    from wandb.integration.keras import WandbModelCheckpoint

    fit(net(), WandbModelCheckpoint("models/{epoch:02d}.keras"))
    found = artifacts(wandb_init_run)
    assert [(one.name, one.type) for one in found] == [(f"run_{wandb_init_run.id}_model", "model")] * 2
    assert [set(one.aliases) for one in found] == [{"latest", "epoch_0"}, {"latest", "epoch_1"}]
    assert [files_of(one) for one in found] == [["01.keras"], ["02.keras"]]


@pytest.mark.parametrize("path", ["best.keras", "best-{epoch}.keras"])
def test_what_is_no_better_is_no_version(wandb_init_run: Any, path: str) -> None:
    from wandb.integration.keras import WandbModelCheckpoint

    callback = WandbModelCheckpoint(path, monitor="val_loss", mode="max", save_best_only=True)
    fit(net(), callback, epochs=3)  # the loss falls, so that the first epoch is the best
    assert [set(one.aliases) for one in artifacts(wandb_init_run)] == [{"latest", "epoch_0"}]


def test_weights_after_every_so_many_batches(wandb_init_run: Any) -> None:
    from wandb.integration.keras import WandbModelCheckpoint

    callback = WandbModelCheckpoint("{epoch}-{batch}.weights.h5", save_weights_only=True, save_freq=1)
    fit(net(), callback, epochs=1)
    names = [set(one.aliases) - {"latest"} for one in artifacts(wandb_init_run)]
    assert names == [{"epoch_0_batch_0"}, {"epoch_0_batch_1"}]


def test_predictions_in_tables(wandb_init_run: Any) -> None:
    from wandb.integration.keras import WandbEvalCallback

    x, y = data()

    class Predictions(WandbEvalCallback):  # type: ignore[misc, unused-ignore]
        def add_ground_truth(self, logs: Any = None) -> None:
            for index, value in enumerate(y):
                self.data_table.add_data(index, float(value[0]))

        def add_model_predictions(self, epoch: int, logs: Any = None) -> None:
            for index, guess in enumerate(self.model.predict(x, verbose=0)):
                self.pred_table.add_data(epoch, *self.data_table_ref.data[index], float(guess[0]))

    fit(net(), Predictions(["index", "y"], ["epoch", "index", "y", "guess"]))
    found = artifacts(wandb_init_run)
    names = [(one.name, one.type) for one in found]
    predictions = (f"run_{wandb_init_run.id}_pred", "evaluation")
    assert names == [("val", "dataset"), predictions, predictions]
    assert files_of(found[0]) == ["val_data.table.json"]
    assert found[0].use_after_commit
    with pytest.raises(TypeError, match="abstract"):
        WandbEvalCallback(["a"], ["b"])


# ---- the classic one


def test_the_best_epoch_is_in_the_summary_and_its_model_is_kept(wandb_init_run: Any) -> None:
    from wandb.keras import WandbCallback

    import keras

    model = net()
    fit(model, WandbCallback(), epochs=3)
    found = rows(wandb_init_run)
    assert [sorted(row) for row in found] == [["epoch", "loss", "val_loss"]] * 3
    best = min(row["val_loss"] for row in found)
    assert wandb_init_run.summary["best_val_loss"] == best
    assert wandb_init_run.summary["best_epoch"] == [row["val_loss"] for row in found].index(best)
    assert wandb_init_run.summary["graph"]["_type"] == "graph-file"
    assert (
        keras.models.load_model(Path(wandb_init_run.dir) / "model-best.h5", compile=False).count_params()
        == 19
    )
    last = artifacts(wandb_init_run)[-1]
    assert (last.name, last.type, files_of(last)) == (
        f"model-{wandb_init_run.name or wandb_init_run.id}",
        "model",
        ["model-best.keras"],
    )
    assert set(last.aliases) == {"latest", "epoch_2"}


def test_batches_weights_and_no_model(wandb_init_run: Any) -> None:
    from wandb.keras import WandbCallback

    import keras

    options: Dict[str, Any] = {"save_model": False, "log_best_prefix": None, "save_graph": False}
    model = net(1, keras.layers.BatchNormalization(name="norm"))
    fit(model, WandbCallback(log_weights=True, log_batch_frequency=2, **options), epochs=1)
    first, second = rows(wandb_init_run)
    assert list(first) == ["loss"]
    parts = {key for key in second if key.startswith("parameters/")}
    norm = {f"parameters/norm.{name}" for name in ("gamma", "beta", "moving_mean", "moving_variance")}
    dense = {f"parameters/{layer}.{name}" for layer in ("first", "last") for name in ("weights", "bias")}
    assert parts == norm | dense
    assert second["parameters/first.weights"]["_type"] == "histogram"
    assert "best_val_loss" not in wandb_init_run.summary and "graph" not in wandb_init_run.summary
    assert artifacts(wandb_init_run) == []


def test_gradients_are_those_of_autograd_and_the_model_trains_as_without(wandb_init_run: Any) -> None:
    import keras
    import numpy as np
    import torch

    from wandb.framework.keras.gradients import Gradients

    x, y = data()
    model = net(1, keras.layers.BatchNormalization(name="norm"), keras.layers.Dropout(0.0))
    before = [np.copy(weight) for weight in model.get_weights()]
    found = Gradients(model, x, y).measure()
    assert all(np.array_equal(*pair) for pair in zip(before, model.get_weights()))
    model.zero_grad()
    loss = torch.nn.functional.mse_loss(model(x, training=True), torch.as_tensor(y))
    loss.backward()
    for variable in model.trainable_variables:
        name = "/".join(variable.path.split("/")[-2:])
        expected = variable.value.grad.numpy()
        assert np.allclose(found[name], expected, atol=1e-5), name
    assert sorted(found) == [
        "first/bias",
        "first/kernel",
        "last/bias",
        "last/kernel",
        "norm/beta",
        "norm/gamma",
    ]


def test_logged_gradients_change_no_epoch(wandb_init_run: Any) -> None:
    from wandb.keras import WandbCallback

    x, y = data()
    fit(net(), WandbCallback(save_model=False, save_graph=False))
    fit(net(), WandbCallback(save_model=False, save_graph=False, log_gradients=True, training_data=(x, y)))
    plain, watched = rows(wandb_init_run)[:2], rows(wandb_init_run)[2:]
    assert [row["loss"] for row in plain] == [row["loss"] for row in watched]
    assert watched[0]["gradients/first/kernel.gradient"]["_type"] == "histogram"
    for wrong in ({}, {"training_data": (x,)}):
        with pytest.raises(ValidationError, match="training"):
            WandbCallback(log_gradients=True, **wrong)


def test_pictures_of_examples(wandb_init_run: Any) -> None:
    import keras
    import numpy as np

    from wandb.keras import WandbCallback

    x = np.random.default_rng(0).random((6, 8, 8, 1)).astype("float32")
    y = np.eye(2)[[0, 1] * 3]
    layers = [keras.layers.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(2)]
    model = keras.Sequential(layers)
    model.compile("sgd", loss="mse")
    options: Dict[str, Any] = {"save_model": False, "save_graph": False, "input_type": "auto"}
    callback = WandbCallback(validation_data=(x, y), labels=["cat", "dog"], predictions=4, **options)
    fit(model, callback, epochs=1, x=x, y=y)
    examples = rows(wandb_init_run)[0]["examples"]
    assert (examples["_type"], examples["count"]) == ("images/separated", 4)
    assert set(examples["captions"]) <= {"cat", "dog"}

    masks = np.eye(3)[np.zeros((6, 8, 8), int)]
    layers = [keras.layers.Input((8, 8, 1)), keras.layers.Conv2D(5, 1)]
    model = keras.Sequential(layers)
    model.compile("sgd", loss="mse")
    masks = np.eye(5)[np.zeros((6, 8, 8), int)]
    callback = WandbCallback(generator=[(x, masks)], **options)
    fit(model, callback, epochs=2, x=x, y=masks)
    examples = rows(wandb_init_run)[-1]["examples"]
    assert examples["count"] == 18  # of each: what is given, what is said, what is right


def test_predictions_as_a_table(wandb_init_run: Any) -> None:
    from wandb.keras import WandbCallback

    x, y = data(3)
    callback = WandbCallback(
        save_model=False,
        save_graph=False,
        log_evaluation=True,
        log_evaluation_frequency=1,
        validation_data=(x, y),
        labels=["a", "b", "c"],
    )
    fit(net(3), callback, epochs=2)
    tables = [
        row["validation_predictions"] for row in rows(wandb_init_run) if "validation_predictions" in row
    ]
    assert len(tables) == 2
    table = json.loads((Path(wandb_init_run.dir) / tables[-1]["path"]).read_text())
    assert table["columns"] == ["output", "val_row", "output:max_class", "output:score"]
    assert len(table["data"]) == 16
    assert [one.name for one in artifacts(wandb_init_run)][0] == "wb_validation_data"


def test_flops_of_one_example(wandb_init_run: Any) -> None:
    from wandb.keras import WandbCallback

    fit(net(), WandbCallback(save_model=False, compute_flops=True), epochs=1)
    assert wandb_init_run.summary["GFLOPs"] == pytest.approx((4 * 3 + 3 * 1) / 1e9)


def test_the_best_of_an_earlier_segment_counts(wandb_init_run: Any) -> None:
    from wandb.keras import WandbCallback

    wandb_init_run.summary["best_val_loss"] = 1e-9
    fit(net(), WandbCallback())
    assert wandb_init_run.summary["best_val_loss"] == 1e-9
    assert artifacts(wandb_init_run) == []


def test_arguments_that_are_none(wandb_init_run: Any) -> None:
    from wandb.keras import WandbCallback

    with pytest.raises(ValidationError, match="save_modle"):
        WandbCallback(save_modle=False)
