"""`wandb.watch` with a real PyTorch: what it records is compared with the real client elsewhere; here is what
becomes of models, hooks and errors."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any, Dict, List

import pytest
from log_view import LogView

import wandb
from wandb.errors import RunFinishedError, ValidationError

pytestmark = pytest.mark.frameworks

# torch is imported where it is used: this file is collected where there is none, too.


def net() -> Any:
    from torch import nn

    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))


def given() -> Any:
    import torch

    return torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.5, 0.0]])


def trained(model: Any) -> None:
    model(given()).sum().backward()


def keys(run: Any, row: int = -1) -> List[str]:
    return sorted(key for key in LogView(run.sync_dir).rows()[row] if key[0] != "_")


def n_hooks(model: Any) -> int:
    parts = list(model.modules())
    forward = sum(len(part._forward_hooks) for part in parts)
    return forward + sum(len(one._backward_hooks or ()) for one in model.parameters())


GRADIENTS = ["gradients/0.bias", "gradients/0.weight", "gradients/2.bias", "gradients/2.weight"]


def test_gradients_are_parts_of_the_row_that_the_next_log_ends(wandb_init_run: Any) -> None:
    model = net()
    wandb_init_run.watch(model, log_freq=2)
    trained(model)
    wandb_init_run.log({"loss": 1})
    trained(model)
    wandb_init_run.log({"loss": 2})
    assert keys(wandb_init_run, 0) == ["loss"]
    assert keys(wandb_init_run, 1) == [*GRADIENTS, "loss"]
    histogram = LogView(wandb_init_run.sync_dir).rows()[1]["gradients/0.weight"]
    assert (histogram["_type"], len(histogram["values"]), len(histogram["bins"])) == ("histogram", 64, 65)
    assert sum(histogram["values"]) == 12


def test_one_pass_is_one_record(wandb_init_run: Any) -> None:
    model = net()
    wandb_init_run.watch(model, log_freq=1)
    before = LogView(wandb_init_run.sync_dir).kinds().count("footer")
    trained(model)
    assert LogView(wandb_init_run.sync_dir).kinds().count("footer") == before + 1


def test_passes_that_are_broken_off_and_graphs_that_are_kept(wandb_init_run: Any) -> None:
    model = net()
    wandb_init_run.watch(model, log_freq=1)

    def refuse(gradient: Any) -> None:
        raise ZeroDivisionError

    handle = model[0].weight.register_hook(refuse)
    with pytest.raises(ZeroDivisionError):
        trained(model)
    handle.remove()
    loss = model(given()).sum()
    loss.backward(retain_graph=True)
    loss.backward()
    wandb_init_run.log({"loss": 1})
    assert keys(wandb_init_run) == [*GRADIENTS, "loss"]


@pytest.mark.parametrize("log", ["gradients", "parameters", "all", None])
def test_unwatch_leaves_nothing_on_the_model(wandb_init_run: Any, log: Any) -> None:
    model, other = net(), net()
    plain = pickle.dumps(model)
    wandb_init_run.watch([model, other], log=log, log_freq=1, log_graph=True)
    wandb_init_run.unwatch(model)
    assert n_hooks(model) == 0 and n_hooks(other) > 0
    assert pickle.dumps(model) == plain
    trained(model)
    wandb_init_run.unwatch()
    assert n_hooks(other) == 0
    wandb_init_run.watch(model, log=log, idx=0, log_graph=True)


def test_the_end_of_the_run_takes_the_hooks_out(wandb_init_run: Any) -> None:
    model = net()
    wandb_init_run.watch(model, log="all", log_freq=1, log_graph=True)
    wandb_init_run.finish()
    assert n_hooks(model) == 0
    trained(model)
    with pytest.raises(RunFinishedError):
        wandb_init_run.watch(model)
    wandb_init_run.unwatch(model)


def test_each_run_counts_its_own_models(wandb_init_run: Any) -> None:
    wandb_init_run.watch([net(), net()])
    wandb_init_run.finish()
    with wandb.init(mode="offline", settings={"console": "off", "silent": True}) as run:
        model = net()
        wandb.watch(model, log_freq=1)
        trained(model)
        run.log({})
        assert keys(run) == GRADIENTS


def test_a_model_is_watched_once_under_a_name(wandb_init_run: Any) -> None:
    model = net()
    wandb_init_run.watch(model, log="all", idx=0, log_graph=True)
    n_before = n_hooks(model)
    for options in ({"log": "gradients"}, {"log": "parameters"}, {"log": None, "log_graph": True}):
        with pytest.raises(ValueError, match="already"):
            wandb_init_run.watch([net(), model], idx=-1, **options)
        assert n_hooks(model) == n_before
    trained(model)  # the graph is complete, and so are its hooks
    with pytest.raises(ValueError, match="already"):
        wandb_init_run.watch(model, log=None, log_graph=True)


@pytest.mark.parametrize("wrong", [{"log": "weights"}, {"log_freq": "2"}, {"idx": 1.5}])
def test_wrong_arguments_set_no_hook(wandb_init_run: Any, wrong: Dict[str, Any]) -> None:
    model = net()
    with pytest.raises(ValidationError):
        wandb_init_run.watch(model, **wrong)
    assert n_hooks(model) == 0


@pytest.mark.parametrize("wrong", [object(), [1], "model", None])
def test_what_is_no_model_sets_no_hook_in_those_beside_it(wandb_init_run: Any, wrong: Any) -> None:
    model = net()
    with pytest.raises(TypeError, match="torch.nn.Module"):
        wandb_init_run.watch([model, wrong])
    with pytest.raises(TypeError, match="torch.nn.Module"):
        wandb_init_run.watch(wrong)
    assert n_hooks(model) == 0


@pytest.mark.wandb_args(init={"settings": {"console": "off"}})
def test_unwatch_of_what_is_not_watched_says_so(wandb_init_run: Any, capsys: Any) -> None:
    model = net()
    wandb_init_run.unwatch(model)  # before any watch there is nothing to stop
    wandb_init_run.watch(model)
    wandb_init_run.unwatch([net(), model])
    assert "Sequential is not watched" in capsys.readouterr().err
    assert n_hooks(model) == 0


def test_a_copy_of_a_watched_model_is_not_watched(wandb_init_run: Any) -> None:
    import torch

    model = net()
    wandb_init_run.watch(model, log="all", log_freq=1, log_graph=True)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    copies = [
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        torch.load(file, weights_only=False),
    ]
    for one in copies:
        trained(one)
        one.load_state_dict(model.state_dict())
    wandb_init_run.log({"x": 1})
    assert keys(wandb_init_run) == ["x"]
    trained(model)
    wandb_init_run.log({"x": 2})
    assert len(keys(wandb_init_run)) == 9


@pytest.mark.swallows
def test_what_goes_wrong_in_a_hook_does_not_reach_the_pass(
    wandb_init_run: Any, swallowed_errors: List[BaseException]
) -> None:
    import torch

    class Refusing(torch.Tensor):
        """A tensor of somebody's that is not like others."""

        def detach(self) -> Any:
            raise ZeroDivisionError

    model = net()
    wandb_init_run.watch(model, log="all", log_freq=1)
    model[0].weight.data = model[0].weight.data.as_subclass(Refusing)
    model[0]._parameters["weight"] = model[0].weight.as_subclass(Refusing)
    trained(model)
    assert {type(error) for error in swallowed_errors} == {ZeroDivisionError}


def test_a_run_that_is_finished_in_the_midst_of_a_pass(wandb_init_run: Any) -> None:
    model = net()
    wandb_init_run.watch(model, log_freq=1)
    model[0].weight.register_hook(lambda gradient: wandb_init_run.finish())
    trained(model)
    trained(model)
    assert n_hooks(model) == 1


def test_a_disabled_run_hooks_nothing() -> None:
    model = net()
    with wandb.init(mode="disabled") as run:
        assert run.watch(model, log="all", log_graph=True) == []
        assert n_hooks(model) == 0
        run.unwatch(model)


def test_before_init() -> None:
    for call in (wandb.watch, wandb.unwatch):
        with pytest.raises(wandb.Error, match="wandb.init"):
            call(net())


def test_a_graph_of_layers_that_do_not_all_run(wandb_init_run: Any) -> None:
    from torch import nn

    class Choice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(3, 1), nn.Linear(3, 1)

        def forward(self, x: Any) -> Any:
            return self.used(x)

    (graph,) = wandb_init_run.watch(Choice(), log=None, log_graph=True)
    assert graph.nodes == []
    model = Choice()
    (graph,) = wandb_init_run.watch(model, log=None, log_graph=True)
    trained(model)
    assert [node.name for node in graph.nodes] == ["used"]
    assert wandb_init_run.summary["graph_1"]["_type"] == "graph-file"
    assert n_hooks(model) == 0


def test_layouts_that_only_some_gradients_have() -> None:
    import torch

    from wandb.framework.pytorch.histograms import histogram_of

    dense = torch.tensor([[0.0, 0.0, 3.0], [0.0, 1.0, 0.0]])
    for sparse in (dense.to_sparse(), dense.to_sparse_csr(), dense.to_sparse_csc()):
        found = histogram_of(sparse)
        assert found is not None
        assert sum(found.histogram) == 6 and found.histogram[0] == 4
        assert (found.bins[0], found.bins[-1]) == (0.0, 3.0)
    assert histogram_of(torch.zeros(3, 3).to_sparse()) is None  # as wandb: no value is there
    negative = histogram_of(torch.tensor([0.0, -2.0]).to_sparse())
    assert negative is not None and (negative.histogram[0], negative.histogram[-1]) == (1.0, 1.0)
    complex_ = histogram_of(torch.tensor([1 + 5j, 2 + 1j]))
    assert complex_ is not None and complex_.bins[-1] == 2.0


def test_wrapped_models(wandb_init_run: Any) -> None:
    from torch import nn

    for index, wrapped in enumerate((nn.DataParallel(net()), nn.ModuleList([net()])[0])):
        wandb_init_run.watch(wrapped, log="all", log_freq=1, idx=0, log_graph=True)
        trained(wrapped)
        wandb_init_run.log({"x": 1})
        assert len(keys(wandb_init_run)) == 9
        assert keys(wandb_init_run)[0] == ("gradients/module.0.bias", "gradients/0.bias")[index]
        wandb_init_run.unwatch()
        assert n_hooks(wrapped) == 0


@pytest.mark.parametrize("backend, is_compiled_first", [("aot_eager", True), ("eager", False)])
def test_compiled_models(wandb_init_run: Any, backend: str, is_compiled_first: bool) -> None:
    import torch

    torch.compiler.reset()  # what it has compiled is used again, and hooks are no difference to it
    model = net()
    watched = compiled = torch.compile(model, backend=backend) if is_compiled_first else model
    wandb_init_run.watch(watched, log="all", log_freq=2)
    if not is_compiled_first:
        compiled = torch.compile(model, backend=backend)
    for step in range(4):
        compiled(given()).sum().backward()
        wandb_init_run.log({"step": step})
    prefix = "_orig_mod." if is_compiled_first else ""
    for row in (1, 3):
        assert f"gradients/{prefix}0.weight" in keys(wandb_init_run, row)
        assert f"parameters/{prefix}0.weight" in keys(wandb_init_run, row)
    for row in (0, 2):
        assert keys(wandb_init_run, row) == ["step"]


def test_a_scripted_model_is_watched_as_far_as_it_lets(wandb_init_run: Any) -> None:
    import torch

    model = torch.jit.script(net())
    wandb_init_run.watch(model, log="all", log_freq=1)
    trained(model)
    wandb_init_run.log({"x": 1})
    assert set(GRADIENTS) <= set(keys(wandb_init_run))
