"""Models of many kinds, watched: run with our wandb and with the real one."""

import torch
from torch import nn

import wandb

torch.manual_seed(0)
run = wandb.init(mode="offline", project="watch", settings=wandb.Settings(console="off"))


class Blocks(nn.Module):
    """Containers in containers, and a dict as output."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 8)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(8, 8), nn.ReLU()) for _ in range(2)])
        self.heads = nn.ModuleDict({"a": nn.Linear(8, 2), "b": nn.Linear(8, 3)})

    def forward(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return self.heads["a"](x), {"b": self.heads["b"](x)}


class Mixed(nn.Module):
    """Frozen, half precision, whole and double numbers, one element, none, all the same."""

    def __init__(self):
        super().__init__()
        self.frozen = nn.Parameter(torch.arange(6.0), requires_grad=False)
        self.whole = nn.Parameter(torch.arange(7), requires_grad=False)
        self.halves = nn.Parameter(torch.linspace(-1, 1, 50).bfloat16())
        self.doubles = nn.Parameter(torch.linspace(-3, 5, 100).double() ** 3)
        self.one = nn.Parameter(torch.tensor(3.5))
        self.empty = nn.Parameter(torch.empty(0))
        self.same = nn.Parameter(torch.full((5, 5), 0.1))

    def forward(self, x):
        return (self.halves.float().sum() + self.doubles.sum().float() ** 2 + self.one * self.same.sum()) * x


class Odd(nn.Module):
    """Gradients that are NaN, infinite, or both."""

    def __init__(self):
        super().__init__()
        self.some = nn.Parameter(torch.linspace(0.0, 2.0, 9))
        self.none = nn.Parameter(torch.zeros(3))

    def forward(self, x):
        return (self.some.sqrt() / x).sum() + (self.none / 0.0).sum()


blocks, mixed, odd = Blocks(), Mixed(), Odd()
sparse = nn.Embedding(20, 3, sparse=True)
shared = nn.Sequential(nn.Linear(3, 3), nn.ReLU())

wandb.watch(blocks, log="all", log_freq=2, log_graph=True)
run.watch([mixed, odd], log="all", log_freq=1)
run.watch(sparse, log="gradients", log_freq=1, idx=7)
run.watch(shared, criterion=nn.MSELoss(), log=None, log_graph=True, idx=8)
for step in range(6):
    a, rest = blocks(torch.randn(5, 4))
    (a.sum() + rest["b"].sum()).backward()
    mixed(torch.tensor(2.0)).backward()
    odd(torch.tensor(1.0)).backward()
    sparse(torch.tensor([1, 5, 1])).pow(3).sum().backward()
    shared(torch.ones(2, 3)).sum().backward()
    wandb.log({"step": step})
    if step == 3:
        wandb.unwatch(odd)
    if step == 4:
        wandb.unwatch()

run.finish()
