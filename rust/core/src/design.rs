//! The training rows of one split as the solvers see them: imputed, centred where there is an intercept, and
//! scaled, so that one matrix serves every subset, penalty and strength on that split.

use crate::moments::{ColumnStats, gather, weighted_rows, weights_of};
use crate::problem::Table;

/// Training rows in solver coordinates.
pub struct Design {
    /// Columns z, n values each.
    z: Vec<f64>,
    /// Divisor of each column.
    pub scale: Vec<f64>,
    /// Means, standard deviations, constancy.
    pub stats: ColumnStats,
    /// Row weights over their sum.
    pub omega: Vec<f64>,
    /// Targets.
    pub y: Vec<f64>,
    /// Offsets.
    pub offset: Vec<f64>,
}

impl Design {
    /// Gathers `rows`; `centred` subtracts each column's mean.
    pub fn new(table: &Table, rows: &[usize], centred: bool) -> Self {
        let rows = weighted_rows(table, rows);
        let weights = weights_of(table, &rows);
        let total: f64 = weights.iter().sum();
        let omega: Vec<f64> = weights.iter().map(|v| v / total).collect();
        let (n, p) = (rows.len(), table.n_columns());
        let mut design = Self {
            z: Vec::with_capacity(n * p),
            scale: Vec::with_capacity(p),
            stats: ColumnStats { mean: vec![], sd: vec![], constant: vec![] },
            omega,
            y: rows.iter().map(|&i| table.y[i]).collect(),
            offset: rows.iter().map(|&i| table.offset_of(i)).collect(),
        };
        for j in 0..p {
            let (values, mean) = gather(table.column(j), &rows, &weights);
            design.push(values, mean, centred);
        }
        design
    }

    fn push(&mut self, mut values: Vec<f64>, mean: f64, centred: bool) {
        let first = values.iter().copied().find(|v| !v.is_nan());
        let constant = first.is_none_or(|f| values.iter().all(|v| v.is_nan() || *v == f));
        values.iter_mut().for_each(|v| *v = if v.is_nan() { 0.0 } else { *v - mean });
        let sd = values.iter().zip(&self.omega).map(|(v, w)| w * v * v).sum::<f64>().sqrt();
        let shift = if centred { 0.0 } else { mean };
        let scale = solver_scale(sd, shift);
        self.z.extend(values.iter().map(|v| (v + shift) / scale));
        self.scale.push(scale);
        self.stats.mean.push(mean);
        self.stats.sd.push(sd);
        self.stats.constant.push(constant);
    }

    /// Number of training rows.
    pub fn n_rows(&self) -> usize {
        self.y.len()
    }

    /// Column j.
    pub fn column(&self, j: usize) -> &[f64] {
        &self.z[j * self.n_rows()..(j + 1) * self.n_rows()]
    }
}

/// Root mean square of a column with that spread about that mean: what the solvers divide it by.
pub(crate) fn solver_scale(sd: f64, mean: f64) -> f64 {
    let scale = sd.hypot(mean);
    if scale > 0.0 { scale } else { 1.0 }
}
