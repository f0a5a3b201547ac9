"""Where settings come from, and which of them wins: the one place that merges them.

From the strongest to the weakest:

    enforced             /etc/wandb/settings or the file named by WANDB_ENFORCED_SETTINGS_FILE: its sections
                         [organization], [team NAME], [user NAME], [project NAME], the first the strongest
    sweep or launch      what the agent chose for this run
    code                 wandb.init(...), wandb.init(settings=), wandb.login(), wandb.setup(settings)
    environment          WANDB_*
    workspace file       ./wandb/settings, or ./.wandb/settings where ./.wandb exists
    global file          ~/.config/wandb/settings, or settings in WANDB_CONFIG_DIR
    server defaults      none yet
    built-in defaults    the class body of Settings

The file of enforced settings is an administrator's; `[team]` without a name is for every team, and so on.  It
guards against mistakes, not against malice: the process is the user's.

Rule 1: a layer is checked as a whole, so that a bad value never leaves half a layer behind.
Rule 2: an empty variable is one that is not set; a variable or key that is no setting is not ours to judge.
"""

from __future__ import annotations

from wandb import settings_file
from wandb.errors import UsageError
from wandb.sdk.wandb_settings import FIELDS, Settings, Source

TYPE_CHECKING = False  # see wandb_settings
if TYPE_CHECKING:
    from typing import Any, Dict, List, Mapping, Optional

ENFORCED_FILE = "/etc/wandb/settings"

# Variables whose names do not follow from the field's.
FIELD_OF_VARIABLE = {
    "WANDB_APP_URL": "app_url_override",
    "WANDB_DIR": "root_dir",
    "WANDB_FILE_PUSHER_TIMEOUT": "x_file_transfer_timeout_seconds",
    "WANDB_HTTP_TIMEOUT": "x_graphql_timeout_seconds",
    "WANDB_JOB_TYPE": "run_job_type",
    "WANDB_NAME": "run_name",
    "WANDB_NOTES": "run_notes",
    "WANDB_SERVICE_TRANSPORT": "x_service_transport",
    "WANDB_TAGS": "run_tags",
    "WANDB_USER_EMAIL": "email",
}

# Arguments of wandb.init() whose names are not the field's.
FIELD_OF_ARGUMENT = {
    "dir": "root_dir",
    "group": "run_group",
    "id": "run_id",
    "job_type": "run_job_type",
    "name": "run_name",
    "notes": "run_notes",
    "tags": "run_tags",
    "tensorboard": "sync_tensorboard",
}

# Who can enforce, from the weakest to the strongest, and the field that says whether it concerns a run.
ENFORCERS = (
    ("project", Source.ENFORCED_PROJECT, "project"),
    ("user", Source.ENFORCED_USER, "username"),
    ("team", Source.ENFORCED_TEAM, "entity"),
    ("organization", Source.ENFORCED_ORGANIZATION, "organization"),
)


class Layer:
    """What one source says.

    Attributes:
        source: Its kind, which decides who wins.
        values: Fields by name; text is read as the field's type.
        details: For each field the variable or argument; `detail` where there is none.
        detail: The file or call that all values come from.
    """

    __slots__ = ("source", "values", "details", "detail")

    def __init__(
        self,
        source: Source,
        values: Mapping[str, Any],
        detail: str = "",
        details: Optional[Mapping[str, str]] = None,
    ) -> None:
        self.source = source
        self.values = values
        self.detail = detail
        self.details = details or {}


def resolve(*layers: Layer, enforced: Optional[Mapping[str, Mapping[str, str]]] = None) -> Settings:
    """Merge layers, given in any order, into settings that remember where each value comes from.

    Args:
        *layers: What the sources say; of two layers of one source the later wins.
        enforced: The sections of the file of enforced settings.

    Raises:
        ValidationError: A value is wrong; the message names the field, the reason and the file or variable.
    """
    settings = Settings()
    for layer in sorted(layers, key=_rank):
        _apply(settings, layer)
    if enforced:
        _enforce(settings, enforced)
    return settings


def environment_layer(environ: Mapping[str, str]) -> Layer:
    """What the WANDB_* variables of an environment say; the empty ones say nothing."""
    values: Dict[str, Any] = {}
    details: Dict[str, str] = {}
    for variable, text in environ.items():
        if not text or not variable.startswith("WANDB_"):
            continue
        name = FIELD_OF_VARIABLE.get(variable) or _field_of_variable(variable)
        if name in FIELDS:
            values[name] = _from_text(name, text)
            details[name] = variable
    return Layer(Source.ENVIRONMENT, values, details=details)


def file_layer(source: Source, path: str) -> Layer:
    """What a settings file says; a layer without values if there is no file.

    Raises:
        UsageError: The file cannot be read or parsed.
    """
    values = {}
    for key, text in settings_file.read(path).items():
        name = "x" + key if key[:1] == "_" else key
        if name in FIELDS:
            values[name] = _from_text(name, text)
        else:
            from wandb import term

            term.termwarn(f"{path}: there is no setting {key!r}; it is ignored", repeat=False)
    return Layer(source, values, detail=path)


def code_layer(source: Source, values: object) -> Layer:
    """What a program says by a Settings object, a dictionary or None.

    Raises:
        UsageError: It is something else.
    """
    if values is None:
        return Layer(source, {})
    if isinstance(values, Settings):
        return Layer(source, values.explicit(), detail=str(source))
    if isinstance(values, dict):
        return Layer(
            source, {name: value for name, value in values.items() if value is not None}, str(source)
        )
    raise UsageError(f"settings must be wandb.Settings or a dict, not {type(values).__name__}")


def argument_layer(arguments: Mapping[str, Any]) -> Layer:
    """What the arguments of wandb.init() say; None says nothing."""
    values: Dict[str, Any] = {}
    details: Dict[str, str] = {}
    for argument, value in arguments.items():
        if value is None:
            continue
        name = FIELD_OF_ARGUMENT.get(argument, argument)
        values[name] = value
        details[name] = f"wandb.init({argument}=)"
    return Layer(Source.INIT_ARGUMENT, values, details=details)


def _rank(layer: Layer) -> int:
    return layer.source


def _apply(settings: Settings, layer: Layer) -> None:
    if not layer.details:
        settings.update(layer.values, layer.source, layer.detail)
        return
    for name, value in layer.values.items():
        settings.update({name: value}, layer.source, layer.details.get(name, layer.detail))


def _enforce(settings: Settings, sections: Mapping[str, Mapping[str, str]]) -> None:
    """Apply the sections that concern a run, so that a stronger one has its say in which weaker ones do.

    The organization may set the entity, which decides about the team's section, and so on down.  The trail of
    each field is in the order of strength all the same.
    """
    chosen: List[Layer] = []
    deciding = settings.copy()
    for kind, source, field in reversed(ENFORCERS):
        for section, values in sections.items():
            word, _, name = section.strip().partition(" ")
            if word == kind and name.strip() in ("", getattr(deciding, field)):
                known = {key: _from_text(key, text) for key, text in values.items() if key in FIELDS}
                layer = Layer(source, known, detail=f"enforced for the {section.strip()}")
                chosen.append(layer)
                decided = {name for earlier in chosen[:-1] for name in earlier.values}
                _apply(deciding, Layer(source, {k: v for k, v in known.items() if k not in decided}))
    for layer in sorted(chosen, key=_rank):
        _apply(settings, layer)


def _field_of_variable(variable: str) -> str:
    rest = variable[len("WANDB_") :].lower()
    return "x" + rest if rest[:1] == "_" else rest


def _from_text(name: str, text: str) -> Any:
    """The text of a file or a variable, cut into items where the field is a sequence."""
    if "Tuple[" in FIELDS[name]:
        return tuple(item.strip() for item in text.split(",") if item.strip())
    return text
