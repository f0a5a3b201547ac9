"""Keras's metrics by epoch and by batch: run with our wandb and with the real one.

The real one asks TensorFlow for Keras; it is given the same Keras 3 as ours.
"""

import sys
import types

import keras
import numpy as np

import wandb

tensorflow = types.ModuleType("tensorflow")
tensorflow.keras = keras
tensorflow.Variable = tensorflow.Tensor = keras.Variable
stand_ins = {
    "tensorflow.keras": keras,
    "tensorflow.keras.callbacks": keras.callbacks,
    "tensorflow": tensorflow,
}
sys.modules.update(stand_ins)

from wandb.integration.keras import WandbMetricsLogger  # noqa: E402

for name in stand_ins:  # Keras itself would take them for TensorFlow
    del sys.modules[name]

keras.utils.set_random_seed(3)
numbers = np.random.default_rng(0)
x = numbers.normal(size=(40, 5)).astype("float32")
y = (x.sum(axis=1) > 0).astype("float32")


def model(rate):
    made = keras.Sequential([keras.layers.Input((5,)), keras.layers.Dense(4), keras.layers.Dense(1)])
    made.compile(keras.optimizers.SGD(rate), loss="mse", metrics=["mae"])
    return made


wandb.init(mode="offline", project="keras", settings=wandb.Settings(console="off"))
options = {"batch_size": 10, "verbose": 0, "shuffle": False}
decay = keras.optimizers.schedules.ExponentialDecay(0.1, 3, 0.5)
model(0.01).fit(x, y, epochs=2, validation_data=(x, y), callbacks=[WandbMetricsLogger()], **options)
model(decay).fit(x, y, epochs=2, callbacks=[WandbMetricsLogger("batch")], **options)
model(0.02).fit(x, y, epochs=2, callbacks=[WandbMetricsLogger(3, initial_global_step=5)], **options)
wandb.finish()
