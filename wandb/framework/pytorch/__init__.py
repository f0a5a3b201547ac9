"""`wandb.watch`: histograms of a PyTorch model's gradients and parameters, and its layers as a graph.

watcher      hooks in models: when is there something to record?
histograms   a tensor as a histogram
layers       a model as a `wandb.Graph`

None of them imports torch before a model is there.
"""
