"""study.json: what all parts agree on, and what is refused at once."""

import json

import pytest

from metafit.study import settings
from metafit.study.settings import Settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("folds", 1),
        ("folds", 2.5),
        ("folds", True),
        ("repeats", 0),
        ("random_state", -1),
        ("random_state", None),
    ],
)
def test_bad_settings_name_the_argument(name, value):
    given = {"folds": 5, "repeats": 2, "random_state": 0} | {name: value}
    with pytest.raises(ValueError, match=f"{name} must be an int of at least"):
        Settings.checked(**given)


def test_settings_survive_the_disk(tmp_path):
    wanted = Settings(5, 2, 3)
    assert settings.load(tmp_path) is None
    settings.settle(tmp_path, wanted)
    assert settings.load(tmp_path) == wanted
    written = json.loads((tmp_path / "study.json").read_text())
    assert written["format"] == settings.FORMAT
    assert set(written["versions"]) >= {"python", "metafit", "numpy", "scikit-learn"}


def test_the_context_depends_on_every_setting():
    contexts = {Settings(*values).context for values in [(5, 2, 0), (4, 2, 0), (5, 1, 0), (5, 2, 1)]}
    assert len(contexts) == 4


def test_the_second_writer_must_agree_with_the_first(tmp_path):
    settings.settle(tmp_path, Settings(5, 2, 0))
    settings.settle(tmp_path, Settings(5, 2, 0))
    with pytest.raises(ValueError, match=r"folds=3 \(the study has 5\), random_state=1 \(the study has 0\)"):
        settings.settle(tmp_path, Settings(3, 2, 1))
    assert settings.load(tmp_path) == Settings(5, 2, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format version 2, this metafit .* reads version 1"),
        ({"format": None}, "format version None"),
        ({"settings": {"folds": 4, "repeats": 2, "random_state": 0}}, "changed by hand"),
        ({"settings": {"folds": 4}}, "lacks the study's settings"),
    ],
)
def test_other_heads_are_refused(tmp_path, change, message):
    head = json.loads(Settings(5, 2, 0).to_json()) | change
    (tmp_path / "study.json").write_text(json.dumps(head))
    with pytest.raises(ValueError, match=message):
        settings.load(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[1]", "\x00"])
def test_what_is_no_head_is_refused(tmp_path, text):
    (tmp_path / "study.json").write_text(text)
    with pytest.raises(ValueError, match=r"study\.json"):
        settings.load(tmp_path)
