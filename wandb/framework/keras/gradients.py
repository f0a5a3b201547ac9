"""Gradients of a Keras model over given data, on any backend, while the model stays as it is."""

from __future__ import annotations

from typing import Any, Dict

from wandb.errors import UsageError
from wandb.framework.keras.library import keras


class _Sum(keras.optimizers.Optimizer):
    """An optimizer that changes no weight, and adds up the gradients that it is given."""

    def __init__(self) -> None:
        super().__init__(learning_rate=0.0, name="sum_of_gradients")

    def build(self, variables: Any) -> None:
        if not self.built:
            super().build(variables)
            self.sums = [
                self.add_variable_from_reference(reference_variable=variable, name="sum")
                for variable in variables
            ]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        self.assign_add(
            self.sums[self._get_variable_index(variable)], keras.ops.cast(gradient, variable.dtype)
        )


class Gradients:
    """Measures the sum of the gradients of each weight.

    Args:
        model: Compiled and built.
        x, y: As for `model.fit`; without y, x yields both.

    Raises:
        UsageError: The model does not know its inputs, as one that is a class of its own.
    """

    def __init__(self, model: Any, x: Any, y: Any) -> None:
        if not getattr(model, "inputs", None):
            raise UsageError("log_gradients needs a model that knows its inputs: Sequential, or functional")
        self._model = model
        self._data = (x, y)
        self._twin = keras.Model(model.inputs, model(model.inputs))  # the same weights
        self._twin.compile(loss=model.loss, optimizer=_Sum())
        self._twin.optimizer.build(self._twin.trainable_variables)

    def measure(self) -> Dict[str, Any]:
        """Return numpy arrays by `<layer>/<weight>`."""
        kept = [(variable, keras.ops.convert_to_numpy(variable)) for variable in self._others()]
        for total in self._twin.optimizer.sums:
            total.assign(keras.ops.zeros_like(total))
        try:
            self._twin.fit(*self._data, verbose=0)
        finally:
            for variable, value in kept:  # moving averages, states of random numbers
                variable.assign(value)
        return {
            "/".join(variable.path.split("/")[-2:]): keras.ops.convert_to_numpy(total)
            for variable, total in zip(self._twin.trainable_variables, self._twin.optimizer.sums)
        }

    def _others(self) -> Any:
        return self._model.non_trainable_variables
