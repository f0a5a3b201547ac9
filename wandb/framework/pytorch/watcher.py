"""The hooks of a run in models of PyTorch.

As wandb 0.31 (observed): `gradients/<parameter>` after every `log_freq`-th backward pass, `parameters/...`
after every `log_freq`-th forward pass, as parts of the row that the next `log()` ends.

Rule 1: between two recordings a hook counts, and does nothing else: it is called for every parameter in every
        step.
Rule 2: what goes wrong in a hook never reaches the pass that it is called in.
Rule 3: nothing is left on the model: a copy of a watched model, or one that was pickled, is not watched.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union
from weakref import WeakKeyDictionary, WeakSet

from wandb.data_types.media import library
from wandb.errors import RunFinishedError, ValidationError
from wandb.framework.pytorch.histograms import histogram_of
from wandb.framework.pytorch.layers import TorchGraph
from wandb.interface.values import kind_name
from wandb.term import termlog, termwarn

WHAT = ("gradients", "parameters", "all", None)


class Watcher:
    """The hooks of one run.

    Args:
        record: Takes keys and histograms for the row that is to come.
        summary: Takes the graphs, as items.
        failed: Takes what went wrong in a hook.
    """

    def __init__(
        self,
        record: Callable[[Mapping[str, Any]], None],
        summary: Any,
        failed: Callable[[str, Exception], None],
    ) -> None:
        self._record = record
        self._summary = summary
        self._failed = failed
        self._hooks: Dict[str, Any] = {}  # what is recorded there, as a key -> handle of the hook
        self._watched: WeakKeyDictionary[Any, List[str]] = WeakKeyDictionary()  # model -> keys of `_hooks`
        self._graphed: WeakSet[Any] = WeakSet()  # models whose layers were hooked
        self._n_watched = 0
        self._gradients: Dict[str, Any] = {}  # of the backward pass under way

    def watch(
        self,
        models: Any,
        criterion: Any,
        log: Optional[str],
        log_freq: int,
        idx: Optional[int],
        log_graph: bool,
    ) -> List[TorchGraph]:
        """Hook into models; see `wandb.Run.watch`.

        Raises:
            ValidationError: An argument is wrong, or a model is watched so already; no hook was set.
        """
        torch = library("torch", "pytorch", "wandb.watch")
        if log not in WHAT:
            raise ValidationError("watch: log", f"{log!r} is none of 'gradients', 'parameters', 'all', None")
        if not isinstance(log_freq, int):
            raise ValidationError("watch: log_freq", f"{kind_name(log_freq)} is no int")
        if idx is not None and not isinstance(idx, int):
            raise ValidationError("watch: idx", f"{kind_name(idx)} is no int")
        first = self._n_watched if idx is None else idx
        found: List[Tuple[Any, int, List[Tuple[str, Any]]]] = []
        for number, model in enumerate(_listed(models), first):
            if not isinstance(model, torch.nn.Module):
                raise ValidationError("watch: models", f"expected a torch.nn.Module, not {kind_name(model)}")
            prefix = f"graph_{number}" if number > 0 else ""
            targets = []
            if log in ("parameters", "all"):
                targets.append((f"parameters/{prefix}", None))
            if log in ("gradients", "all"):
                targets += [
                    (f"gradients/{prefix}{name}", parameter)
                    for name, parameter in model.named_parameters()
                    if parameter.requires_grad
                ]
            found.append((model, number, targets))
        self._check_free([target for _, _, targets in found for target in targets], log_graph, found)
        graphs = []
        for model, number, targets in found:
            self._n_watched += 1
            keys = self._watched.setdefault(model, [])
            for key, parameter in targets:
                if parameter is None:
                    self._hook(keys, key, model, self._parameters_hook(key, log_freq))
                else:
                    self._hooks[key] = parameter.register_hook(self._gradient_hook(key, log_freq))
                    keys.append(key)
            if log_graph:
                graphs.append(self._follow_layers(model, criterion, number, keys))
        return graphs

    def unwatch(self, models: Any = None) -> None:
        """Take the hooks out of models again; out of all, if none are given."""
        if models is None or (isinstance(models, (tuple, list)) and not models):
            for handle in self._hooks.values():
                handle.remove()
            self._hooks.clear()
            self._watched.clear()
            self._graphed.clear()
            self._gradients.clear()
            return
        for model in _listed(models):
            keys = self._watched.pop(model, None) if hasattr(model, "named_parameters") else None
            if keys is None:
                termwarn(f"unwatch: {kind_name(model)} is not watched")
                continue
            self._graphed.discard(model)
            for key in keys:
                self._hooks.pop(key).remove()

    def _check_free(
        self, targets: Sequence[Tuple[str, Any]], log_graph: bool, found: Sequence[Tuple[Any, int, Any]]
    ) -> None:
        hint = "call unwatch() first, or give another idx"
        for key, _ in targets:
            if key in self._hooks:
                raise ValidationError("watch", f"{key.rstrip('/')} is recorded already", hint=hint)
        for model, _, _ in found if log_graph else ():
            if model in self._graphed:
                reason = "the graph of this model is recorded already: one can be, once per model"
                raise ValidationError("watch: log_graph", reason, hint="call unwatch() first")

    # ---- hooks

    def _hook(self, keys: List[str], key: str, module: Any, call: Callable[[Any, Any], None]) -> None:
        """Have `call(module, output)` called when the module has run."""
        try:
            self._hooks[key] = module.register_forward_hook(ForwardHook(self._careful(call)))
        except RuntimeError as error:  # a ScriptModule
            termwarn(f"watch: {key.rstrip('/')} is not recorded: {error}", repeat=False)
        else:
            keys.append(key)

    def _gradient_hook(self, key: str, log_freq: int) -> Callable[[Any], None]:
        take = self._careful(self._take_gradient)
        count = 0

        def hook(gradient: Any) -> None:
            nonlocal count
            count += 1
            if count >= log_freq:
                count = 0
                take(key, gradient)

        return hook

    def _parameters_hook(self, key: str, log_freq: int) -> Callable[[Any, Any], None]:
        count = 0

        def hook(module: Any, output: Any) -> None:
            nonlocal count
            count += 1
            if count >= log_freq:
                count = 0
                self._take_parameters(key, module)

        return hook

    def _careful(self, call: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
        def careful(first: Any, second: Any) -> None:
            try:
                call(first, second)
            except RunFinishedError:  # by another thread, in the midst of a pass
                self.unwatch()
            except Exception as error:
                self._failed("watch", error)

        return careful

    def _take_gradient(self, key: str, gradient: Any) -> None:
        """Keep a gradient's histogram until the pass is over: then all of them are recorded as one."""
        from torch.autograd import Variable

        histogram = histogram_of(gradient)
        if histogram is None:
            return
        self._gradients[key] = histogram
        try:  # each asks for it anew: a pass that was broken off has called nobody
            Variable._execution_engine.queue_callback(self._record_gradients)
        except RuntimeError:  # no pass is under way, as in a test of hooks
            self._record_gradients()

    def _record_gradients(self) -> None:
        gradients, self._gradients = self._gradients, {}
        if gradients:
            self._careful(lambda found, _: self._record(found))(gradients, None)

    def _take_parameters(self, key: str, module: Any) -> None:
        found = {f"{key}{name}": histogram_of(value) for name, value in module.named_parameters()}
        self._record({name: histogram for name, histogram in found.items() if histogram is not None})

    def _follow_layers(self, model: Any, criterion: Any, number: int, keys: List[str]) -> TorchGraph:
        termlog("logging graph, to disable use `wandb.watch(log_graph=False)`", repeat=False)
        graph = TorchGraph(criterion)
        self._graphed.add(model)
        mine: List[str] = []

        def keep() -> None:
            for key in mine:
                handle = self._hooks.pop(key, None)
                if handle is not None:
                    handle.remove()
                    keys.remove(key)
            self._summary[f"graph_{number}"] = graph

        for index, (module, call) in enumerate(graph.follow(model, keep)):
            key = f"topology/{number}/{index}"
            self._hook(keys, key, module, call)
            mine.append(key)
        return graph


class ForwardHook:
    """A hook of ours in a module: what is copied or pickled of it does nothing."""

    def __init__(self, call: Callable[[Any, Any], None]) -> None:
        self._call = call

    def __call__(self, module: Any, arguments: Any, output: Any) -> None:
        self._call(module, output)

    # torch.compile shall not look into it, but call it: what `torch.compiler.disable` notes, without loading
    # the compiler.
    __call__._torchdynamo_disable = True  # type: ignore[attr-defined]

    def __reduce__(self) -> Tuple[Any, ...]:
        return NoHook, ()


class NoHook:
    """What stands in a copy of a watched model in place of a hook."""

    def __call__(self, *arguments: Any) -> None:
        return None


def _listed(models: Union[Any, Sequence[Any]]) -> Sequence[Any]:
    return models if isinstance(models, (tuple, list)) else (models,)
