use super::{PenaltySpec, Regulariser, Shares};
use crate::registry::{Parameter, Spec};

/// `sum_j f_j (r |u_j| + (1 - r) u_j^2 / 2)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ElasticNet {
    /// Share r of the absolute value, in \[0, 1\].
    pub l1_ratio: f64,
}

impl Regulariser for ElasticNet {
    const SPEC: PenaltySpec = PenaltySpec {
        spec: Spec {
            name: "elastic_net",
            class: "ElasticNet",
            summary: "Elastic net, ``Omega = sum_j f_j (r |w_j - w0_j| + (1 - r) (w_j - w0_j)^2 / 2)`` with r = l1_ratio.",
            notes: "Zou and Hastie (2005), Regularization and variable selection via the elastic net. JRSS B 67, 301-320.",
            parameters: &[Parameter {
                name: "l1_ratio",
                default: Some(0.5),
                low: 0.0,
                high: 1.0,
                open: false,
                doc: "From 0 (ridge) to 1 (lasso).",
            }],
        },
        has_groups: false,
        has_metric: false,
    };

    fn new(parameters: &[f64]) -> Self {
        Self { l1_ratio: parameters[0] }
    }

    fn shares(self) -> Shares {
        Shares { l1: self.l1_ratio, l2: 1.0 - self.l1_ratio, norm: 0.0 }
    }
}
