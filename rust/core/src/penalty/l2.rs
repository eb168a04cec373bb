use super::{PenaltySpec, Regulariser, Shares};
use crate::registry::Spec;

/// `sum_j f_j u_j^2 / 2`, or `u' F P F u / 2` with a metric P and F the roots of the factors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct L2;

impl Regulariser for L2 {
    const SPEC: PenaltySpec = PenaltySpec {
        spec: Spec {
            name: "l2",
            class: "L2",
            summary: "Ridge penalty, ``Omega = sum_j f_j (w_j - w0_j)^2 / 2``.",
            notes: "With a metric P, ``Omega = (w - w0)' F P F (w - w0) / 2`` with F the diagonal of the roots of f. Hoerl and Kennard (1970).",
            parameters: &[],
        },
        has_groups: false,
        has_metric: true,
    };

    fn new(_parameters: &[f64]) -> Self {
        Self
    }

    fn shares(self) -> Shares {
        Shares { l1: 0.0, l2: 1.0, norm: 0.0 }
    }
}
