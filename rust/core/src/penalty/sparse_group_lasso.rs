use super::{PenaltySpec, Regulariser, Shares};
use crate::registry::{Parameter, Spec};

/// `sum_j r f_j |u_j| + (1 - r) sum_g sqrt|g| |(f_j u_j)_{j in g}|_2`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SparseGroupLasso {
    /// Share r of the absolute values, in \[0, 1\].
    pub l1_ratio: f64,
}

impl Regulariser for SparseGroupLasso {
    const SPEC: PenaltySpec = PenaltySpec {
        spec: Spec {
            name: "sparse_group_lasso",
            class: "SparseGroupLasso",
            summary: "Sparse group lasso: ``Omega = r sum_j f_j |w_j - w0_j| + (1 - r) sum_g sqrt|g| |(f_j (w_j - \
                      w0_j))_{j in g}|_2`` with r = l1_ratio.",
            notes: "Simon, Friedman, Hastie and Tibshirani (2013), A sparse-group lasso. J. Comput. Graph. Stat. 22, \
                    231-245.",
            parameters: &[Parameter {
                name: "l1_ratio",
                default: Some(0.5),
                low: 0.0,
                high: 1.0,
                open: false,
                doc: "From 0 (group lasso) to 1 (lasso).",
            }],
        },
        has_groups: true,
        has_metric: false,
    };

    fn new(parameters: &[f64]) -> Self {
        Self { l1_ratio: parameters[0] }
    }

    fn shares(self) -> Shares {
        Shares { l1: self.l1_ratio, l2: 0.0, norm: 1.0 - self.l1_ratio }
    }
}
