"""A tensor as a histogram: the same 64 bins that wandb 0.31 makes, counted with fewer passes."""

from __future__ import annotations

from math import isfinite
from typing import Any, List, Optional, Tuple

from wandb.data_types.histogram import Histogram

N_BINS = 64


def histogram_of(tensor: Any) -> Optional[Histogram]:
    """Return the histogram of a tensor's finite elements; None if there are none.

    Args:
        tensor: Of any shape, layout, dtype and device.  The implicit zeros of a sparse one count.
    """
    import torch

    flat, n_zeros = _elements(tensor.detach())
    if flat.numel() == 0:
        return None
    low, high = _ends(flat)
    if not (isfinite(low) and isfinite(high)):  # a NaN or an infinity anywhere makes an end of it
        flat = flat[torch.isfinite(flat)]
        if flat.numel() == 0:
            return None
        low, high = _ends(flat)
    if n_zeros:
        low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        counts, edges = [float(flat.numel())], _as_float32([low, high])
    else:
        counts = _counted(flat, low, high)
        edges = torch.linspace(low, high, steps=N_BINS + 1, dtype=torch.float32, device="cpu").tolist()
    if n_zeros:
        counts[_bin_of_zero(edges)] += n_zeros
    return Histogram(np_histogram=(counts, edges))


def _elements(tensor: Any) -> Tuple[Any, int]:
    """Return the elements in a row, of a kind that `histc` counts, and how many zeros are not among them."""
    import torch

    n_zeros = 0
    if tensor.layout != torch.strided:
        if not tensor.is_sparse:  # by rows, by columns, by blocks
            tensor = tensor.to_sparse()
        n_elements = tensor.numel()
        tensor = tensor.coalesce().values()
        n_zeros = n_elements - tensor.numel()
    flat = tensor.reshape(-1)
    if not flat.is_cuda:
        flat = flat.cpu()
    if flat.is_complex():
        flat = flat.real
    return (flat if flat.dtype in (torch.float32, torch.float64) else flat.float()), n_zeros


def _ends(flat: Any) -> Tuple[float, float]:
    import torch

    low, high = torch.stack(torch.aminmax(flat)).tolist()  # one wait for the device, not two
    return low, high


def _counted(flat: Any, low: float, high: float) -> List[float]:
    try:
        counts = flat.histc(bins=N_BINS, min=low, max=high)
    except RuntimeError:  # not on this device, or not where only what is deterministic may run
        counts = flat.cpu().histc(bins=N_BINS, min=low, max=high)
    found: List[float] = counts.tolist()
    return found


def _as_float32(numbers: List[float]) -> List[float]:
    import torch

    found: List[float] = torch.tensor(numbers, dtype=torch.float32, device="cpu").tolist()
    return found


def _bin_of_zero(edges: List[float]) -> int:
    """Return which bin zero falls into; the last one has its upper edge too."""
    for index, (start, end) in enumerate(zip(edges, edges[1:])):
        if start <= 0 < end:
            return index
    return len(edges) - 2 if edges[-1] == 0 else 0
