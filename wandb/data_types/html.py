"""`wandb.Html`: a page, or a piece of one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Dict, Mapping, Sequence, Union

from wandb.data_types.media import Content, Media, PathLike, existing_file, read_all
from wandb.errors import MediaFileError, ValidationError
from wandb.interface.values import kind_name

if TYPE_CHECKING:
    from wandb.data_types.artifact_media import ArtifactMedia
    from wandb.internal.media_files import MediaFiles

# What wandb 0.31 puts into pages, so that they look like the rest of its site.
STYLE = (
    '<base target="_blank">'
    '<link rel="stylesheet" type="text/css" href="https://app.wandb.ai/normalize.css" />'
)


class Html(Media):
    """A page, or a piece of one.

        run.log({"report": wandb.Html("<p>done</p>")})

    Args:
        data: The text, an open file, or the path of a file whose name ends in ".html".
        inject: Put a link to a stylesheet into its head, as wandb does.
        data_is_not_path: Take a text that is the path of a file for what it is.

    Raises:
        ValueError: It is none of these.
        FileNotFoundError: There is no such file.
    """

    _folder = "html"
    _kind = "html-file"

    def __init__(
        self, data: Union[str, os.PathLike[str], IO[str]], inject: bool = True, data_is_not_path: bool = False
    ) -> None:
        if isinstance(data, os.PathLike) or (
            isinstance(data, str) and not data_is_not_path and data.endswith(".html") and _is_file(data)
        ):
            self.html = _text_of(data)
        elif isinstance(data, str):
            self.html = data
        elif hasattr(data, "read"):
            self.html = read_all(data, "wandb.Html").decode("utf-8", "replace")
        else:
            raise ValidationError("wandb.Html", f"{kind_name(data)} is no text, no path and no open file")
        if inject:
            self.inject_head()

    def inject_head(self) -> None:
        """Put the link to the stylesheet into the head; a page without one gets one."""
        if "<head>" in self.html:
            self.html = self.html.replace("<head>", f"<head>{STYLE}", 1)
        elif "<html>" in self.html:
            self.html = self.html.replace("<html>", f"<html><head>{STYLE}</head>", 1)
        else:
            self.html = STYLE + self.html

    @classmethod
    def _from_artifact(cls, tree: Mapping[str, Any], media: ArtifactMedia) -> Html:
        return cls(Path(media.file(tree["path"])), inject=False)

    def _content(self) -> Content:
        return Content(self.html.encode("utf-8", "replace"), ".html")

    @classmethod
    def _store_list(cls, items: Sequence[Any], files: MediaFiles, key: str, step: object) -> Dict[str, Any]:
        stored = [item._store(files, key, step) for item in items]
        return {"_type": "html", "count": len(stored), "html": stored}


def _is_file(path: str) -> bool:
    return "\0" not in path and os.path.isfile(path)


def _text_of(path: PathLike) -> str:
    try:
        with open(existing_file(path, "wandb.Html"), encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError as error:
        raise MediaFileError("wandb.Html", f"{os.fspath(path)} cannot be read: {error.strerror}") from None
