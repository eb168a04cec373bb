//! Ridge and least squares by the singular value decomposition of the rows, for Gram matrices that lost their digits.

use crate::design::Design;
use crate::linalg::{LeastSquares, least_squares, row_space};
use crate::penalty::ScaledPenalty;

/// Minimiser of `sum_i omega_i (t_i - z_i'b)^2 / 2` plus a smooth penalty with the least `sum_j (norm_j b_j)^2`,
/// and whether the columns are dependent. `target` is `y - offset` less its mean where there is an intercept.
pub fn ridge_by_svd(
    design: &Design,
    columns: &[usize],
    target: &[f64],
    penalty: &ScaledPenalty,
    norm: &[f64],
) -> Option<(Vec<f64>, bool)> {
    let (n, k) = (design.n_rows(), columns.len());
    // the square root of the penalty's matrix, as rows below those of the data
    let root = penalty.quadratic_root();
    let below = root.len() / k.max(1);
    let rows = n + below;
    let roots: Vec<f64> = design.omega.iter().map(|w| w.sqrt()).collect();
    let mut a = vec![0.0; rows * k];
    for (j, (&column, out)) in columns.iter().zip(a.chunks_exact_mut(rows)).enumerate() {
        crate::simd::multiply(design.column(column), &roots, &mut out[..n]);
        out[n..].copy_from_slice(&root[j * below..(j + 1) * below]);
    }
    let mut b = vec![0.0; rows];
    crate::simd::multiply(target, &roots, &mut b[..n]);
    let LeastSquares { mut x, null } = least_squares(&a, rows, k, &b)?;
    let dependent = !null.is_empty();
    if dependent {
        shorten(&mut x, &null, norm)?;
    }
    Some((x, dependent))
}

/// Moves a fit along the directions that change no prediction to where `sum_j (norm_j b_j)^2` is least over `columns`.
/// False where there are no such directions: the columns are independent.
///
/// With `A = Z D^-1`, D the norm's weights, that fit is `D^-1 P D b`, P the projection on the row space of A.
pub fn shorten_fit(design: &Design, columns: &[usize], b: &mut [f64], norm: &[f64]) -> bool {
    let (n, k) = (design.n_rows(), columns.len());
    let mut a = vec![0.0; n * k];
    for ((&column, norm), out) in columns.iter().zip(norm).zip(a.chunks_exact_mut(n)) {
        out.iter_mut().zip(design.column(column)).for_each(|(out, z)| *out = z / norm);
    }
    let Some(rows) = row_space(&a, n, k) else { return false };
    if rows.len() == k {
        return false;
    }
    let long: Vec<f64> = b.iter().zip(norm).map(|(b, norm)| b * norm).collect();
    let mut short = vec![0.0; k];
    for row in rows {
        crate::simd::axpy(crate::simd::dot(&row, &long), &row, &mut short);
    }
    b.iter_mut().zip(short.iter().zip(norm)).for_each(|(b, (short, norm))| *b = short / norm);
    true
}

/// Moves `x` along the `null` directions to where `sum_j (norm_j x_j)^2` is least.
fn shorten(x: &mut [f64], null: &[f64], norm: &[f64]) -> Option<()> {
    let k = x.len();
    let scaled: Vec<f64> = null.iter().zip(norm.iter().cycle()).map(|(v, norm)| v * norm).collect();
    let target: Vec<f64> = x.iter().zip(norm).map(|(x, norm)| -x * norm).collect();
    let along = least_squares(&scaled, k, null.len() / k, &target)?.x;
    for (share, direction) in along.iter().zip(null.chunks_exact(k)) {
        crate::simd::axpy(*share, direction, x);
    }
    Some(())
}
