"""W9: a path of L1 logistic regression on a sparse table, in the shape of a bag of words."""

from __future__ import annotations

import numpy as np
from harness import Case
from scipy import sparse
from sparse_paths import Problem, ours, peers

#: Tolerances of metafit and its peers that bring every fit within 1e-6 of the least objective.
TOL = 1e-6
TOLS = {"celer": 1e-6, "skglm": 1e-6, "adelie": 1e-8, "liblinear": 1e-4}


def cases(size: str) -> list[Case]:
    n, p, n_alphas = (20_000, 47_000, 20) if size == "full" else (4_000, 10_000, 10)
    X, y = _table(n, p)
    problem = Problem(X, y, "logistic", n_alphas, 0.02)
    case = Case(
        workload="W9",
        name="sparse L1 logistic path",
        shape=f"{n} x {p}, {X.nnz / n / p:.2%} filled, {n_alphas} alphas",
        n_fits=n_alphas,
        ours=ours(problem, TOL),
        peers=peers(problem, TOLS),
        ratios={"*": 1.0},
    )
    return [case]


def _table(n: int, p: int, seed: int = 0, length: int = 82, n_topics: int = 50) -> tuple[sparse.csc_matrix, np.ndarray]:
    """Rows of about `length` words, half of them of the row's topic, of unit norm; half the topics are 1."""
    rng = np.random.default_rng(seed)
    frequency = 1 / np.arange(10, p + 10)
    frequency /= frequency.sum()
    topic = rng.integers(n_topics, size=n)
    of_topic = np.array([rng.permutation(p) for _ in range(n_topics)])
    rank = rng.choice(p, size=(n, length), p=frequency)
    words = np.where(rng.random((n, length)) < 0.5, rank, of_topic[topic[:, None], rank])
    weight = -np.log(frequency)
    counts = sparse.csr_matrix((weight[words.ravel()], words.ravel(), np.arange(0, n * length + 1, length)), (n, p))
    counts.sum_duplicates()
    counts.data = np.sqrt(counts.data)
    norms = np.sqrt(counts.multiply(counts).sum(axis=1))
    X = sparse.csc_matrix(sparse.diags_array(1 / np.asarray(norms).ravel()) @ counts)
    X.indices, X.indptr = X.indices.astype(np.int32), X.indptr.astype(np.int32)
    flipped = rng.random(n) < 0.05
    return X, np.where((topic % 2 == 0) ^ flipped, 1.0, -1.0)
