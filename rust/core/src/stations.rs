//! The strengths of a path in the order in which they are fitted.
//!
//! With more columns than rows a small strength is close to interpolation. A descent that gets there from far away takes up to
//! a hundred times as long as one that is led there in small steps; at larger strengths the steps are not worth their cost.

use std::time::Instant;

use crate::path::Fit;
use crate::solver::newton::Report;

/// Part of alpha_max at which the way begins.
const BEGIN: f64 = 0.05;
/// Ratio of neighbouring strengths on the way.
const RATIO: f64 = 0.8;
/// Part of alpha_max below which the way leads no further.
const END: f64 = 1e-4;
/// Tolerance of a fit that nobody has asked for.
pub const COARSE: f64 = 1e-3;

/// A strength, and the number by which it was asked for, if it was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Station {
    pub alpha: f64,
    pub asked: Option<usize>,
}

/// The strengths from the largest down, without any on the way.
pub fn asked(alphas: &[f64]) -> Vec<Station> {
    let mut stations: Vec<Station> =
        alphas.iter().enumerate().map(|(i, alpha)| Station { alpha: *alpha, asked: Some(i) }).collect();
    stations.sort_by(|a, b| b.alpha.total_cmp(&a.alpha));
    stations
}

/// The same with as many on the way as no two small ones are far apart.
pub fn led(alphas: &[f64], alpha_max: f64) -> Vec<Station> {
    let mut next = BEGIN * alpha_max;
    let mut stations = Vec::new();
    for station in asked(alphas) {
        while next * RATIO > station.alpha.max(END * alpha_max) {
            stations.push(Station { alpha: next, asked: None });
            next *= RATIO;
        }
        next = next.min(station.alpha * RATIO);
        stations.push(station);
    }
    stations
}

/// What the fits on the way have cost, which is part of what the next one that was asked for did.
#[derive(Debug, Default)]
pub struct Way {
    pub n_iter: usize,
    seconds: f64,
}

impl Way {
    /// Goes on by a fit.
    pub fn go(&mut self, fit: impl FnOnce() -> Report) {
        let start = Instant::now();
        self.n_iter += fit().n_iter;
        self.seconds += start.elapsed().as_secs_f64();
    }

    /// Arrives.
    pub fn end(&mut self, mut fit: Fit) -> Fit {
        let way = std::mem::take(self);
        fit.report.n_iter += way.n_iter;
        fit.seconds += way.seconds;
        fit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_small_stations_are_far_apart() {
        let stations = led(&[0.001, 0.7, 0.02], 1.0);
        let numbers: Vec<usize> = stations.iter().filter_map(|station| station.asked).collect();
        assert_eq!(numbers, [1, 2, 0]);
        let alphas: Vec<f64> = stations.iter().map(|station| station.alpha).collect();
        assert_eq!(alphas[..2], [0.7, 0.05]);
        assert!(alphas.windows(2).skip(1).all(|pair| pair[1] < pair[0] && pair[1] > 0.63 * pair[0]), "{alphas:?}");
        assert_eq!(led(&[0.9, 0.05, 2.0], 1.0), super::asked(&[0.9, 0.05, 2.0]));
        assert_eq!(led(&[0.1, 0.0], 0.0), super::asked(&[0.1, 0.0]));
        assert!(led(&[0.0], 1.0).iter().all(|station| station.asked.is_some() || station.alpha > END));
    }
}
