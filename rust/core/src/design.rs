//! The training rows of one split as the solvers see them: imputed, centred where there is an intercept, and
//! scaled, so that one matrix serves every subset, penalty and strength on that split.
//!
//! The stored values of a sparse table are standardised by scale alone, never centred in memory: a [`Column`] carries
//! its mean as a shift, and the solution is that of the dense table.

use std::sync::Arc;

use crate::blocks;
use crate::columns::{Column, WRITTEN_OUT};
use crate::matrix::{Places, Values};
use crate::moments::{ColumnStats, gather, mean_observed, weighted_rows, weights_of};
use crate::problem::{Features, Table};
use crate::simd::moments_about;

/// Training rows in solver coordinates.
pub struct Design {
    columns: Vec<Kept>,
    features: Arc<Features>,
    /// Dense columns z, n values each.
    dense: Vec<f64>,
    /// Rows and values of the sparse ones.
    rows: Vec<u32>,
    values: Vec<f64>,
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

/// Where a column is kept.
enum Kept {
    /// From here on in the dense values.
    Dense(usize),
    /// In the table, where a large one is fitted on all of its rows: the column less the first number, over the second.
    InTable(f64, f64),
    /// Between these positions in the sparse values, less a shift.
    Sparse(usize, usize, f64),
}

impl Design {
    /// Gathers `rows`; `centred` subtracts each column's mean.
    pub fn new(table: &Table, rows: &[usize], centred: bool) -> Self {
        let rows = weighted_rows(table, rows);
        let weights = weights_of(table, &rows);
        let total: f64 = weights.iter().sum();
        let p = table.n_columns();
        let stored = if table.is_sparse() { table.n_stored() } else { 0 };
        let is_kept = is_kept_in_table(table, &rows);
        let mut design = Self {
            columns: Vec::with_capacity(p),
            features: table.features().clone(),
            dense: Vec::with_capacity(if table.is_sparse() || is_kept { 0 } else { rows.len() * p }),
            rows: Vec::with_capacity(stored),
            values: Vec::with_capacity(stored),
            scale: Vec::with_capacity(p),
            stats: ColumnStats { mean: vec![], sd: vec![], constant: vec![] },
            omega: weights.iter().map(|v| v / total).collect(),
            y: rows.iter().map(|&i| table.y[i]).collect(),
            offset: rows.iter().map(|&i| table.offset_of(i)).collect(),
        };
        if is_kept {
            design.keep_in_table(table, centred);
            return design;
        }
        let places = table.is_sparse().then(|| Places::new(table.n_rows(), &rows));
        for j in 0..p {
            let column = table.column(j);
            let is_kept_sparse = places.as_ref().is_some_and(|places| design.push_sparse(column, places, centred));
            if !is_kept_sparse {
                let (values, mean) = gather(column, &rows, &weights);
                design.push(values, mean, centred);
            }
        }
        design
    }

    fn keep_in_table(&mut self, table: &Table, centred: bool) {
        let spreads = blocks::each(table.n_columns(), |j| dense_spread(table.column(j).stored(), &self.omega));
        for Spread { mean, sd, constant } in spreads {
            let scale = solver_scale(sd, if centred { 0.0 } else { mean });
            self.columns.push(Kept::InTable(if centred { mean } else { 0.0 }, scale));
            self.note(scale, mean, sd, constant);
        }
    }

    fn push(&mut self, mut values: Vec<f64>, mean: f64, centred: bool) {
        let first = values.iter().copied().find(|v| !v.is_nan());
        let constant = first.is_none_or(|f| values.iter().all(|v| v.is_nan() || *v == f));
        values.iter_mut().for_each(|v| *v = if v.is_nan() { 0.0 } else { *v - mean });
        let sd = values.iter().zip(&self.omega).map(|(v, w)| w * v * v).sum::<f64>().sqrt();
        let shift = if centred { 0.0 } else { mean };
        let scale = solver_scale(sd, shift);
        self.columns.push(Kept::Dense(self.dense.len()));
        self.dense.extend(values.iter().map(|v| (v + shift) / scale));
        self.note(scale, mean, sd, constant);
    }

    /// Keeps what a column of a sparse table stores on the training rows; false, and nothing kept, if that is more than
    /// two thirds of them or holds more than 0.9 of their weight.
    ///
    /// The first takes less memory dense (8 bytes a row against 12 a stored value), and both are then centred before
    /// anything is multiplied. For a share q of the weight `mean^2 <= q of the mean square`, so the shift of what is kept
    /// is at most 3 times the spread and costs products no digits. Only weights that lie on few rows make a column of
    /// few values one of the second kind: these end with [`WRITTEN_OUT`], beyond which digits are lost.
    fn push_sparse(&mut self, column: Values<'_>, places: &Places, centred: bool) -> bool {
        let Values::Sparse { rows, values } = column else { return false };
        let start = self.rows.len();
        places.pick(rows, values, &mut self.rows, &mut self.values);
        let zeros = weight_outside(&self.rows[start..], &self.omega);
        let is_full = 3 * (self.rows.len() - start) > 2 * self.n_rows();
        if is_full || (zeros < 0.1 && self.dense.len() + self.n_rows() <= WRITTEN_OUT) {
            self.rows.truncate(start);
            self.values.truncate(start);
            return false;
        }
        let Spread { mean, sd, constant } = spread(&self.rows[start..], &self.values[start..], &self.omega, zeros);
        let scale = solver_scale(sd, if centred { 0.0 } else { mean });
        self.values[start..].iter_mut().for_each(|v| *v = if v.is_nan() { mean } else { *v } / scale);
        let shift = if centred { mean / scale } else { 0.0 };
        self.columns.push(Kept::Sparse(start, self.rows.len(), shift));
        self.note(scale, mean, sd, constant);
        true
    }

    fn note(&mut self, scale: f64, mean: f64, sd: f64, constant: bool) {
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
    pub fn column(&self, j: usize) -> Column<'_> {
        match self.columns[j] {
            Kept::InTable(mean, scale) => Column::Raw { values: self.features.column(j).stored(), mean, scale },
            Kept::Dense(start) => Column::Dense(&self.dense[start..start + self.n_rows()]),
            Kept::Sparse(start, end, shift) => {
                Column::Sparse { rows: &self.rows[start..end], values: &self.values[start..end], shift }
            }
        }
    }
}

/// Whether these are all rows, in order, of a dense table without missing values that is too large to be written down
/// a second time.
fn is_kept_in_table(table: &Table, rows: &[usize]) -> bool {
    let is_large = rows.len().saturating_mul(table.n_columns()) > WRITTEN_OUT;
    let is_plain = !table.is_sparse() && !table.has_missing() && rows.len() == table.n_rows();
    is_large && is_plain && rows.iter().enumerate().all(|(i, row)| i == *row)
}

/// Where a column lies and how far it spreads.
struct Spread {
    mean: f64,
    sd: f64,
    constant: bool,
}

/// Of a value on every row, all weights being 1 in sum, in one pass: about the mean of a few rows, which lies within the
/// spread and not at 0, and by blocks, so that rounding does not grow with the number of rows.
fn dense_spread(values: &[f64], omega: &[f64]) -> Spread {
    const FEW: usize = 256;
    let (few, few_omega) = (&values[..values.len().min(FEW)], &omega[..values.len().min(FEW)]);
    let rough = mean_observed(few, few_omega);
    let (mut first, mut second, mut constant) = (0.0, 0.0, true);
    for (values_here, omega) in values.chunks(FEW).zip(omega.chunks(FEW)) {
        let sums = moments_about(values_here, rough, omega);
        (first, second) = (first + sums.0, second + sums.1);
        constant &= values_here.iter().fold(true, |same, v| same & (*v == values[0]));
    }
    let sd = (second - first * first).max(0.0).sqrt();
    Spread { mean: rough + first, sd: if constant { 0.0 } else { sd }, constant }
}

/// Of stored values and zeros on all other rows, of which there is at least one, with weight `zeros`; all weights are
/// 1 in sum. As for dense columns, a missing value counts as the mean of the others.
fn spread(rows: &[u32], values: &[f64], omega: &[f64], zeros: f64) -> Spread {
    let stored = || rows.iter().zip(values).filter(|(_, v)| !v.is_nan()).map(|(&i, v)| (*v, omega[i as usize]));
    let observed = zeros + stored().map(|(_, w)| w).sum::<f64>();
    if observed == 0.0 {
        return Spread { mean: 0.0, sd: 0.0, constant: true };
    }
    let rough = stored().map(|(v, w)| v * w).sum::<f64>() / observed;
    // the second pass removes the rounding of the first
    let mean = rough + (stored().map(|(v, w)| (v - rough) * w).sum::<f64>() - rough * zeros) / observed;
    let square = stored().map(|(v, w)| w * (v - mean) * (v - mean)).sum::<f64>() + zeros * mean * mean;
    Spread { mean, sd: square.sqrt(), constant: stored().all(|(v, _)| v == 0.0) }
}

/// Weight of the rows that are not listed.
fn weight_outside(rows: &[u32], omega: &[f64]) -> f64 {
    let inside: f64 = rows.iter().map(|&i| omega[i as usize]).sum();
    if inside < 0.9 {
        return 1.0 - inside;
    }
    // of what little is left the subtraction would keep no digits
    let mut outside = omega.to_vec();
    rows.iter().for_each(|&i| outside[i as usize] = 0.0);
    outside.iter().sum()
}

/// Root mean square of a column with that spread about that mean: what the solvers divide it by.
pub(crate) fn solver_scale(sd: f64, mean: f64) -> f64 {
    let scale = sd.hypot(mean);
    if scale > 0.0 { scale } else { 1.0 }
}
