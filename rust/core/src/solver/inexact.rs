//! Linear systems solved as far as a Newton step needs it.

use crate::simd::{axpy, dot};

/// An `x` with `A x` near `rhs`, A symmetric and positive (semi)definite, and the products with A that it took: until
/// `r' M r`, with `r` what is left and M the preconditioner, is what `enough` makes of the first, or `most` products have
/// been made. `None` where A has no curvature along the first direction.
pub fn conjugate_gradients(
    mut times: impl FnMut(&[f64]) -> Vec<f64>,
    mut precondition: impl FnMut(&[f64]) -> Vec<f64>,
    rhs: Vec<f64>,
    enough: impl Fn(f64) -> f64,
    most: usize,
) -> Option<(Vec<f64>, usize)> {
    let (mut x, mut rest) = (vec![0.0; rhs.len()], rhs);
    let mut direction = precondition(&rest);
    let mut left = dot(&rest, &direction);
    let enough = enough(left);
    for taken in 0..most {
        if left.is_nan() || left <= enough {
            return Some((x, taken));
        }
        let image = times(&direction);
        let curvature = dot(&direction, &image);
        if curvature.is_nan() || curvature <= 0.0 {
            return (taken > 0).then_some((x, taken));
        }
        let share = left / curvature;
        axpy(share, &direction, &mut x);
        axpy(-share, &image, &mut rest);
        let next = precondition(&rest);
        let now = dot(&rest, &next);
        let turn = now / left;
        direction.iter_mut().zip(&next).for_each(|(d, z)| *d = z + turn * *d);
        left = now;
    }
    Some((x, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solves_a_system_within_its_number_of_unknowns() {
        let diagonal = [1.0, 2.0, 5.0, 1e3];
        let times = |d: &[f64]| -> Vec<f64> {
            let sum: f64 = d.iter().sum();
            d.iter().zip(diagonal).map(|(d, g)| g * d + sum).collect()
        };
        let wanted = [1.0, -2.0, 0.5, 3.0];
        let rhs = times(&wanted);
        let scale = |r: &[f64]| r.iter().zip(diagonal).map(|(r, g)| r / g).collect();
        let (x, taken) = conjugate_gradients(times, scale, rhs, |first| 1e-28 * first, 10).unwrap();
        assert!(taken <= 5 && x.iter().zip(wanted).all(|(x, w)| (x - w).abs() < 1e-12), "{taken} {x:?}");
    }

    #[test]
    fn no_curvature_has_no_solution() {
        assert!(conjugate_gradients(|d| vec![0.0; d.len()], <[f64]>::to_vec, vec![1.0], |_| 0.0, 10).is_none());
        let (x, taken) = conjugate_gradients(<[f64]>::to_vec, <[f64]>::to_vec, vec![0.0], |_| 0.0, 10).unwrap();
        assert_eq!((x, taken), (vec![0.0], 0));
    }
}
