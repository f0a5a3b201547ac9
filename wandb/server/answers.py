"""Parts of GraphQL answers: payloads of mutations, pages of lists, times."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Dict, List, Mapping, Optional, Tuple

from wandb.errors import UsageError

MAX_PAGE = 10_000


def payload(input: Mapping[str, Any], **fields: Any) -> Dict[str, Any]:
    return {**fields, "clientMutationId": input.get("clientMutationId")}


def connection(nodes: List[Any], first: Optional[int], after: Optional[str]) -> Dict[str, Any]:
    """One page of a list; the cursor is the number of the last node before the next page."""
    begin, end = _page(len(nodes), first, after)
    edges = [{"node": node, "cursor": str(index + 1)} for index, node in enumerate(nodes[begin:end], begin)]
    return {
        "edges": edges,
        "pageInfo": {"hasNextPage": end < len(nodes), "endCursor": edges[-1]["cursor"] if edges else None},
    }


def _page(n_nodes: int, first: Optional[int], after: Optional[str]) -> Tuple[int, int]:
    try:
        begin = max(0, int(after)) if after else 0
    except ValueError:
        raise UsageError(f"`after` {after!r} is not a cursor of ours") from None
    size = MAX_PAGE if first is None else max(0, first)
    return begin, min(n_nodes, begin + size)


def iso_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
