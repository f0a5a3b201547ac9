"""Where the bytes of artifacts come in and go out.

Rule: an address with a signature is the permission itself (clients send no key there); others need a key.
"""

from __future__ import annotations

from typing import Any, BinaryIO, Callable, Dict, Tuple

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wandb.errors import UsageError
from wandb.server.access import Access
from wandb.server.artifacts import MAX_MANIFEST_BYTES, MAX_PARTS, Artifacts
from wandb.server.gate import Gate, error_answer
from wandb.server.names import natural_number
from wandb.server.protocol import file_answer, receive_body
from wandb.server.store import Store


class ArtifactBytes:
    """The routes."""

    def __init__(self, store: Store, access: Access, gate: Gate, max_file_bytes: int) -> None:
        self._store = store
        self._artifacts = Artifacts(store)
        self._access = access
        self._max_file_bytes = max_file_bytes
        signed = "/{what}/{number}/{expires}/{signature}/{name:path}"
        by_md5 = gate.with_key_or_session(self._download_by_md5)
        self.routes = [
            Route(f"/upload/artifact{signed}", gate.open_to_all(self._upload), methods=["PUT"]),
            Route(f"/artifacts{signed}", gate.open_to_all(self._download), methods=["GET"]),
            # As clients make them up themselves, for files that they have no address of.
            Route("/artifacts/{entity}/{md5}", by_md5, methods=["GET"]),
            Route("/artifactsV2/{region}/{entity}/{project}/{collection}/{birth}/{md5}/{name:path}", by_md5),
            Route("/artifactsV2/{region}/{entity}/{birth}/{md5}", by_md5),
        ]

    async def _upload(self, request: Request) -> Response:
        given = request.path_params
        number = natural_number(given["number"])
        if not self._is_signed(request, f"/upload/artifact/{given['what']}/{number}"):
            return error_answer(403, "This upload address is not, or no longer, valid")
        is_manifest = given["what"] == "manifest"
        with self._store.receive_file() as incoming:
            await receive_body(request, incoming, MAX_MANIFEST_BYTES if is_manifest else self._max_file_bytes)
            if is_manifest:
                await run_in_threadpool(self._artifacts.put_manifest, number, incoming)
            elif given["what"] == "file":
                await run_in_threadpool(self._artifacts.put_file, number, incoming)
            else:
                part = natural_number(given["name"])
                if not 0 < part <= MAX_PARTS:
                    raise UsageError(f"Parts are numbered from 1 to {MAX_PARTS}")
                await run_in_threadpool(self._artifacts.put_part, number, part, incoming)
            md5 = incoming.finish().md5
        return Response(status_code=200, headers={"ETag": f'"{md5}"'})

    async def _download(self, request: Request) -> Response:
        given = request.path_params
        number = natural_number(given["number"])
        if not self._is_signed(request, f"/artifacts/{given['what']}/{number}"):
            return error_answer(403, "This address is not, or no longer, valid")
        opened = self._artifacts.open_manifest if given["what"] == "manifest" else self._artifacts.open_file
        return await self._answer(request, opened, number)

    async def _download_by_md5(self, request: Request) -> Response:
        return await self._answer(request, self._artifacts.open_by_md5, request.path_params["md5"])

    async def _answer(
        self, request: Request, opened: Callable[..., Tuple[Dict[str, Any], BinaryIO]], what: object
    ) -> Response:
        row, file = await run_in_threadpool(opened, what)
        return file_answer(request, row["path"], row, file)

    def _is_signed(self, request: Request, folder: str) -> bool:
        given = request.path_params
        return self._access.is_signed(
            folder, natural_number(given["expires"]), given["signature"], given["name"]
        )
