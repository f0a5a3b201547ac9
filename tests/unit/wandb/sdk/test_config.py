"""The config: forms, changes, locks; as wandb 0.31 does it where nothing else is said."""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
import pickle

import numpy
import pytest
import yaml

from wandb.errors import ConfigError, ValidationError
from wandb.sdk.wandb_config import Config, parse_config, selected


class Recorded:
    def __init__(self) -> None:
        self.changes = []
        self.gone = []
        self.warnings = []
        self.config = Config(self.record, self.warnings.append)

    def record(self, change, gone) -> None:
        self.changes.append(change)
        self.gone.append(gone)


@pytest.fixture
def rec() -> Recorded:
    return Recorded()


def test_items_and_attributes_are_the_same_and_recorded_at_once(rec) -> None:
    rec.config.lr = 0.1
    rec.config["layers"] = (1, 2)
    rec.config.update({"s": {3}, "np": numpy.float32(2)})
    assert rec.changes == [{"lr": 0.1}, {"layers": [1, 2]}, {"s": [3], "np": 2.0}]
    assert rec.config["lr"] == rec.config.lr == rec.config.get("lr") == 0.1
    assert dict(rec.config) == rec.config.as_dict() and "lr" in rec.config and len(rec.config) == 4


def test_a_value_is_changed_only_when_that_is_said(rec) -> None:
    rec.config.a = 1
    rec.config.a = 1
    with pytest.raises(ConfigError, match="from 1 to 2.*allow_val_change=True"):
        rec.config.a = 2
    rec.config.update({"a": 2}, allow_val_change=True)
    assert rec.config.a == 2


def test_a_refused_change_changes_nothing(rec) -> None:
    rec.config.a = 1
    with pytest.raises(ConfigError):
        rec.config.update({"b": 5, "a": 2})
    with pytest.raises(ValidationError, match=r"config.model.layers\[3\]"):
        rec.config.update({"c": 1, "model": {"layers": [0, 1, 2, object()]}})
    assert rec.config.as_dict() == {"a": 1} and rec.changes == [{"a": 1}]


def test_what_the_log_refuses_is_not_in_the_config() -> None:
    def full(change, gone):
        raise OSError("disk full")

    config = Config(full)
    with pytest.raises(OSError):
        config.a = 1
    assert "a" not in config


def test_a_change_inside_a_nested_dict_is_recorded(rec) -> None:
    rec.config.model = {"layers": {"n": 1}, "list": [{"x": 1}]}
    rec.config.model["layers"]["n"] = 2
    rec.config["model"]["list"][0]["y"] = 3
    del rec.config.model["list"]
    assert rec.changes[1:] == [
        {"model": {"layers": {"n": 2}, "list": [{"x": 1}]}},
        {"model": {"layers": {"n": 2}, "list": [{"x": 1, "y": 3}]}},
        {"model": {"layers": {"n": 2}}},
    ]
    assert isinstance(rec.config.model, dict) and json.dumps(rec.config.model) == '{"layers": {"n": 2}}'
    assert pickle.loads(pickle.dumps(rec.config.model)) == {"layers": {"n": 2}}


def test_attributes_and_updates_of_a_nested_dict_are_recorded(rec) -> None:
    rec.config.model = {"layers": {"n": 1}}
    rec.config.model.layers.n = 2
    model = rec.config.model
    model |= {"kind": "vit"}
    with pytest.raises(AttributeError):
        rec.config.model.missing
    assert rec.changes[1:] == [
        {"model": {"layers": {"n": 2}}},
        {"model": {"layers": {"n": 2}, "kind": "vit"}},
    ]


def _exact(value):
    """Say whether all dicts in it are dicts by their exact type, as YAML, OmegaConf and torch.load want."""
    if isinstance(value, dict):
        return type(value) is dict and all(_exact(item) for item in value.values())
    return not isinstance(value, list) or all(_exact(item) for item in value)


@pytest.mark.parametrize(
    "taken_apart",
    [
        dict,
        lambda config: {**config},
        lambda config: (lambda **options: options)(**config),
        lambda config: dict(config.items()),
        lambda config: dict(zip(config.keys(), config.values())),
        lambda config: config.as_dict(),
        lambda config: {key: copy.deepcopy(config[key]) for key in config},
        lambda config: pickle.loads(pickle.dumps(dict(config))),
        lambda config: json.loads(json.dumps(config)),
        lambda config: yaml.safe_load(yaml.safe_dump(dict(config))),
    ],
)
def test_taken_apart_the_config_is_plain_dicts(rec, taken_apart) -> None:
    rec.config.update({"lr": 0.1, "model": {"layers": {"n": 1}, "list": [{"x": 1}]}})
    rec.config.model["layers"]["n"] = 2
    got = taken_apart(rec.config)
    assert got == {"lr": 0.1, "model": {"layers": {"n": 2}, "list": [{"x": 1}]}} and _exact(got)
    got["model"]["layers"]["n"] = object()  # which is no affair of the run's
    assert rec.config.model["layers"]["n"] == 2 and len(rec.changes) == 2


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))])
def test_a_copy_of_the_config_is_one_that_records_nothing(rec, copied) -> None:
    rec.config.model = {"n": 1}
    twin = copied(rec.config)
    twin.model.n = 2
    assert twin.model == {"n": 2} and rec.config.model == {"n": 1} and len(rec.changes) == 1


def test_what_a_dict_can_and_a_config_cannot_is_free_for_keys(rec) -> None:
    for name in ("clear", "copy", "fromkeys", "pop", "popitem", "setdefault"):
        assert not hasattr(rec.config, name)
        setattr(rec.config, name, 1)
        assert getattr(rec.config, name) == rec.config[name] == 1
    with pytest.raises(ConfigError):
        del rec.config["copy"]
    assert len(rec.config) == len(rec.changes) == 6


def test_keys_of_wandb_s_own_are_not_among_the_user_s(rec) -> None:
    rec.config.update({"_wandb": {"x": 1}, "a": 1})
    assert list(rec.config) == rec.config.keys() == list(dict(rec.config)) == ["a"] and len(rec.config) == 1
    assert rec.config["_wandb"] == {"x": 1} and "_wandb" in rec.config


def test_a_change_says_what_a_dict_holds_no_more(rec) -> None:
    rec.config.model = {"kind": "resnet", "depth": {"n": 18, "blocks": 4}}
    rec.config.update({"model": {"kind": "vit", "depth": {"n": 12}}}, allow_val_change=True)
    del rec.config.model["depth"]
    rec.config.update({"model": "none"}, allow_val_change=True)
    assert rec.gone == [[], [("model", "depth", "blocks")], [("model", "depth")], []]


def test_a_bad_nested_value_is_refused_and_leaves_the_old(rec) -> None:
    rec.config.model = {"a": 1}
    with pytest.raises(ValidationError):
        rec.config.model["b"] = object()
    assert rec.config.model == {"a": 1} and len(rec.changes) == 1


def test_missing_keys_raise_what_python_raises(rec) -> None:
    with pytest.raises(AttributeError):
        rec.config.missing
    with pytest.raises(KeyError):
        rec.config["missing"]
    assert rec.config.get("missing", 3) == 3


def test_nan_is_null_and_infinity_stays(rec) -> None:
    rec.config.update({"nan": float("nan"), "deep": [{"x": float("nan")}], "inf": float("inf")})
    assert rec.changes == [{"nan": None, "deep": [{"x": None}], "inf": float("inf")}]


def test_keys_are_text(rec) -> None:
    with pytest.raises(ValidationError):
        rec.config[3] = 1
    rec.config.k = {3: 1}
    assert rec.config.k == {"3": 1}


def test_locked_keys_ignore_the_user_and_say_so(rec) -> None:
    rec.config.update_locked({"lr": 0.5}, "sweep")
    rec.config.lr = 0.1
    rec.config.update({"lr": 0.2, "b": 1}, allow_val_change=True)
    assert rec.config.as_dict() == {"lr": 0.5, "b": 1} and "locked by 'sweep'" in rec.warnings[0]
    rec.config.merge_locked({"b": 2, "m": {"x": 1}}, "sweep")
    rec.config.merge_locked({"m": {"y": 2}}, "sweep")
    assert rec.config.m == {"x": 1, "y": 2} and rec.config.b == 2


def test_defaults_fill_what_is_missing(rec) -> None:
    rec.config.a = 1
    rec.config.setdefaults({"a": 2, "b": 3})
    assert rec.config.as_dict() == {"a": 1, "b": 3}


@dataclasses.dataclass
class Options:
    lr: float = 0.1


class Flags:
    """As absl's FLAGS answers."""

    def flag_values_dict(self):
        return {"lr": 0.1}


@pytest.mark.parametrize("form", [{"lr": 0.1}, argparse.Namespace(lr=0.1), Options(), Flags()])
def test_every_form_of_config_gives_the_same(form) -> None:
    assert parse_config(form) == {"lr": 0.1}


@pytest.mark.parametrize("form", [3, 1.5, [1]])
def test_what_is_no_config_is_refused(form) -> None:
    with pytest.raises(TypeError, match="config"):
        parse_config(form)


@pytest.mark.parametrize("text", ["lr: 0.1\n", "wandb_version: 1\nlr:\n  desc: rate\n  value: 0.1\n"])
def test_a_yaml_file_is_a_config_in_either_form(tmp_path, text) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    assert parse_config(str(path)) == {"lr": 0.1}


@pytest.mark.parametrize("text", [None, "- 1\n", "a: [\n", "\x00"])
def test_a_file_that_is_no_config_is_refused_by_name(tmp_path, text) -> None:
    path = tmp_path / "c.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match="c.yaml"):
        parse_config(str(path))


def test_include_and_exclude_choose_keys() -> None:
    values = {"a": 1, "b": 2}
    assert selected(values, include=["a"]) == {"a": 1} and selected(values, exclude=["a"]) == {"b": 2}
    with pytest.raises(ConfigError):
        selected(values, ["a"], ["b"])
