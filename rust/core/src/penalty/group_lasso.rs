use super::{PenaltySpec, Regulariser, Shares};
use crate::registry::Spec;

/// `sum_g sqrt|g| |(f_j u_j)_{j in g}|_2`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupLasso;

impl Regulariser for GroupLasso {
    const SPEC: PenaltySpec = PenaltySpec {
        spec: Spec {
            name: "group_lasso",
            class: "GroupLasso",
            summary: "Group lasso, ``Omega = sum_g sqrt|g| |(f_j (w_j - w0_j))_{j in g}|_2``: whole groups leave together.",
            notes: "Yuan and Lin (2006), Model selection and estimation in regression with grouped variables. \
                    JRSS B 68, 49-67.",
            parameters: &[],
        },
        has_groups: true,
        has_metric: false,
    };

    fn new(_parameters: &[f64]) -> Self {
        Self
    }

    fn shares(self) -> Shares {
        Shares { l1: 0.0, l2: 0.0, norm: 1.0 }
    }
}
