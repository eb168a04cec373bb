use super::{PenaltySpec, Regulariser, Shares};
use crate::registry::Spec;

/// `sum_j f_j |u_j|`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct L1;

impl Regulariser for L1 {
    const SPEC: PenaltySpec = PenaltySpec {
        spec: Spec {
            name: "l1",
            class: "L1",
            summary: "Lasso penalty, ``Omega = sum_j f_j |w_j - w0_j|``.",
            notes: "Tibshirani (1996).",
            parameters: &[],
        },
        has_groups: false,
        has_metric: false,
    };

    fn new(_parameters: &[f64]) -> Self {
        Self
    }

    fn shares(self) -> Shares {
        Shares { l1: 1.0, l2: 0.0, norm: 0.0 }
    }
}
