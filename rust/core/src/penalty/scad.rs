use super::{Curve, PenaltySpec, Regulariser, Shares};
use crate::registry::{Parameter, Spec};

/// `sum_j pen(|u_j|)` with lambda = alpha f_j: slope lambda up to `t = lambda`, falling to 0 at `t = gamma lambda`.
///
/// `pen(t) = lambda t`, then `(2 gamma lambda t - t^2 - lambda^2) / (2 (gamma - 1))`, then `lambda^2 (gamma + 1) / 2`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SCAD {
    /// Where the penalty ends, in units of lambda; above 2.
    pub gamma: f64,
}

impl Regulariser for SCAD {
    const SPEC: PenaltySpec = PenaltySpec {
        spec: Spec {
            name: "scad",
            class: "SCAD",
            summary: "Smoothly clipped absolute deviation: ``alpha Omega = sum_j pen(|w_j - w0_j|)`` with lambda = alpha f_j; \
                      the slope of pen is lambda up to t = lambda and falls to 0 at t = gamma lambda.",
            notes: "Not convex: a fit is a stationary point (status \"local\"), reached from alpha_max by a fixed \
                    continuation. Fan and Li (2001), Variable selection via nonconcave penalized likelihood and its \
                    oracle properties. JASA 96, 1348-1360.",
            parameters: &[Parameter {
                name: "gamma",
                default: Some(3.7),
                low: 2.0,
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
        let fall = self.gamma - 1.0;
        Some(if t <= lambda {
            Curve { value: lambda * t, slope: lambda, curvature: 0.0 }
        } else if t < self.gamma * lambda {
            let value = (2.0 * self.gamma * lambda * t - t * t - lambda * lambda) / (2.0 * fall);
            Curve { value, slope: (self.gamma * lambda - t) / fall, curvature: -1.0 / fall }
        } else {
            Curve { value: 0.5 * lambda * lambda * (self.gamma + 1.0), slope: 0.0, curvature: 0.0 }
        })
    }
}
