use super::{Curve, PenaltySpec, Regulariser, Shares};
use crate::registry::{Parameter, Spec};

/// `sum_j pen(|u_j|)` with lambda = alpha f_j and `pen(t) = lambda t - t^2 / (2 gamma)` up to `t = gamma lambda`, constant
/// beyond: the slope falls from lambda to 0 at the rate 1 / gamma.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MCP {
    /// Where the penalty ends, in units of lambda; above 1.
    pub gamma: f64,
}

impl Regulariser for MCP {
    const SPEC: PenaltySpec = PenaltySpec {
        spec: Spec {
            name: "mcp",
            class: "MCP",
            summary: "Minimax concave penalty: ``alpha Omega = sum_j pen(|w_j - w0_j|)`` with lambda = alpha f_j and \
                      ``pen(t) = lambda t - t^2 / (2 gamma)`` up to t = gamma lambda, constant beyond.",
            notes: "Not convex: a fit is a stationary point (status \"local\"), reached from alpha_max by a fixed \
                    continuation. Zhang (2010), Nearly unbiased variable selection under minimax concave penalty. Ann. \
                    Stat. 38, 894-942.",
            parameters: &[Parameter {
                name: "gamma",
                default: Some(3.0),
                low: 1.0,
                high: f64::INFINITY,
                open: true,
                doc: "Where the penalty becomes constant, in units of lambda; towards infinity it becomes the lasso.",
            }],
        },
        has_groups: false,
        has_metric: false,
    };

    fn new(parameters: &[f64]) -> Self {
        Self { gamma: parameters[0] }
    }

    fn shares(self) -> Shares {
        Shares { l1: 1.0, l2: 0.0, norm: 0.0 }
    }

    fn curve(self, lambda: f64, t: f64) -> Option<Curve> {
        let end = self.gamma * lambda;
        Some(if t < end {
            Curve {
                value: lambda * t - 0.5 * t * t / self.gamma,
                slope: lambda - t / self.gamma,
                curvature: -1.0 / self.gamma,
            }
        } else {
            Curve { value: 0.5 * lambda * end, slope: 0.0, curvature: 0.0 }
        })
    }
}
