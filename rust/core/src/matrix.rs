//! The values of a table, column by column: all of them, or only those that may differ from 0.

use crate::error::{Error, Result};
use crate::simd::axpy;

/// Compressed columns: stored values with their rows; all other values are 0.
#[derive(Debug, Clone)]
pub struct Csc {
    /// Where each column starts, and where the last ends.
    starts: Vec<usize>,
    rows: Vec<u32>,
    values: Vec<f64>,
}

impl Csc {
    /// Takes the arrays over. Column j holds `values[starts[j]..starts[j + 1]]` at `rows` of the same positions, which
    /// ascend strictly within a column. A stored 0 is a 0, a stored NaN a missing value.
    pub fn new(n_rows: usize, starts: Vec<usize>, rows: Vec<u32>, values: Vec<f64>) -> Result<Self> {
        if n_rows > u32::MAX as usize {
            return Err(Error::invalid("X", format!("is sparse with {n_rows} rows, more than {}", u32::MAX)));
        }
        let ends = (starts.first(), starts.last());
        if ends != (Some(&0), Some(&rows.len())) || !starts.is_sorted() || values.len() != rows.len() {
            return Err(Error::invalid("X", "is sparse with an index pointer that does not fit its values"));
        }
        let csc = Self { starts, rows, values };
        (0..csc.n_columns()).try_for_each(|j| check_rows(csc.column(j).0, n_rows, j))?;
        Ok(csc)
    }

    /// Number of columns.
    pub fn n_columns(&self) -> usize {
        self.starts.len() - 1
    }

    fn column(&self, j: usize) -> (&[u32], &[f64]) {
        let at = self.starts[j]..self.starts[j + 1];
        (&self.rows[at.clone()], &self.values[at])
    }

    fn pick(&self, places: &Places) -> Self {
        let mut picked = Self { starts: vec![0], rows: vec![], values: vec![] };
        for j in 0..self.n_columns() {
            let (rows, values) = self.column(j);
            places.pick(rows, values, &mut picked.rows, &mut picked.values);
            picked.starts.push(picked.rows.len());
        }
        picked
    }
}

fn check_rows(rows: &[u32], n_rows: usize, column: usize) -> Result<()> {
    if rows.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(Error::invalid("X", format!("is sparse with rows of column {column} unsorted or repeated")));
    }
    match rows.last() {
        Some(&last) if last as usize >= n_rows => {
            Err(Error::invalid("X", format!("is sparse with row {last} in column {column}, it has {n_rows} rows")))
        }
        _ => Ok(()),
    }
}

/// Where the rows of a table stand among picked ones, in which a row may occur never, once or more often.
pub(crate) struct Places {
    starts: Vec<u32>,
    places: Vec<u32>,
}

impl Places {
    /// Sorts the positions of `picked` by the rows that they hold.
    pub(crate) fn new(n_rows: usize, picked: &[usize]) -> Self {
        let mut starts = vec![0; n_rows + 1];
        picked.iter().for_each(|&i| starts[i + 1] += 1);
        (0..n_rows).for_each(|i| starts[i + 1] += starts[i]);
        let (mut next, mut places) = (starts.clone(), vec![0; picked.len()]);
        for (place, &i) in (0..).zip(picked) {
            places[next[i] as usize] = place;
            next[i] += 1;
        }
        Self { starts, places }
    }

    fn of(&self, row: u32) -> &[u32] {
        let row = row as usize;
        &self.places[self.starts[row] as usize..self.starts[row + 1] as usize]
    }

    /// Appends what a column stores on the picked rows.
    pub(crate) fn pick(&self, rows: &[u32], values: &[f64], to_rows: &mut Vec<u32>, to_values: &mut Vec<f64>) {
        for (&row, value) in rows.iter().zip(values) {
            let places = self.of(row);
            to_rows.extend(places);
            to_values.extend(places.iter().map(|_| *value));
        }
    }
}

/// Values in either layout.
#[derive(Debug, Clone)]
pub(crate) enum Matrix {
    /// Columns one after another.
    Dense { n_rows: usize, values: Vec<f64> },
    /// Compressed columns.
    Sparse(Csc),
}

/// One column.
#[derive(Debug, Clone, Copy)]
pub enum Values<'a> {
    /// A value for every row.
    Dense(&'a [f64]),
    /// Values at some rows, 0 elsewhere.
    Sparse {
        /// Their rows.
        rows: &'a [u32],
        /// The values.
        values: &'a [f64],
    },
}

impl Matrix {
    pub(crate) fn column(&self, j: usize) -> Values<'_> {
        match self {
            Matrix::Dense { n_rows, values } => Values::Dense(&values[j * n_rows..(j + 1) * n_rows]),
            Matrix::Sparse(csc) => {
                let (rows, values) = csc.column(j);
                Values::Sparse { rows, values }
            }
        }
    }

    /// The values that are there.
    pub(crate) fn stored(&self) -> &[f64] {
        match self {
            Matrix::Dense { values, .. } | Matrix::Sparse(Csc { values, .. }) => values,
        }
    }

    /// Row and column of a position in `stored`.
    pub(crate) fn place_of(&self, at: usize) -> (usize, usize) {
        match self {
            Matrix::Dense { n_rows, .. } => (at % n_rows, at / n_rows),
            Matrix::Sparse(csc) => (csc.rows[at] as usize, csc.starts.partition_point(|start| *start <= at) - 1),
        }
    }

    /// Some rows of a table with `n_rows` of them, in this order.
    pub(crate) fn pick(&self, picked: &[usize], n_rows: usize) -> Self {
        match self {
            Matrix::Dense { values, .. } => {
                let columns = values.chunks_exact(n_rows.max(1));
                let values = columns.flat_map(|column| picked.iter().map(|&i| column[i])).collect();
                Matrix::Dense { n_rows: picked.len(), values }
            }
            Matrix::Sparse(csc) => Matrix::Sparse(csc.pick(&Places::new(n_rows, picked))),
        }
    }
}

impl<'a> Values<'a> {
    /// The values that are there.
    pub fn stored(self) -> &'a [f64] {
        match self {
            Values::Dense(values) | Values::Sparse { values, .. } => values,
        }
    }

    /// Values at `picked` rows. A sparse column has to be one of the table, whose rows ascend.
    pub(crate) fn pick(self, picked: &[usize]) -> Vec<f64> {
        let mut out = Vec::with_capacity(picked.len());
        self.pick_into(picked, &mut out);
        out
    }

    /// Appends them.
    pub(crate) fn pick_into(self, picked: &[usize], out: &mut Vec<f64>) {
        match self {
            Values::Dense(values) => out.extend(picked.iter().map(|&i| values[i])),
            Values::Sparse { rows, values } => {
                let value = |&i: &usize| rows.binary_search(&(i as u32)).map_or(0.0, |at| values[at]);
                out.extend(picked.iter().map(value));
            }
        }
    }

    /// `out += weight x`, with `missing` in the place of missing values if there can be some.
    pub(crate) fn add_to(self, weight: f64, missing: Option<f64>, out: &mut [f64]) {
        let there = |x: f64| if x.is_nan() { missing.unwrap_or(x) } else { x };
        match (self, missing) {
            (Values::Dense(x), None) => axpy(weight, x, out),
            (Values::Dense(x), Some(_)) => out.iter_mut().zip(x).for_each(|(o, x)| *o += weight * there(*x)),
            (Values::Sparse { rows, values }, _) => {
                rows.iter().zip(values).for_each(|(&i, x)| out[i as usize] += weight * there(*x));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csc(starts: &[usize], rows: &[u32], values: &[f64]) -> Result<Csc> {
        Csc::new(4, starts.to_vec(), rows.to_vec(), values.to_vec())
    }

    #[test]
    fn arrays_that_do_not_fit_are_refused() {
        assert!(csc(&[0, 2, 2], &[1, 3], &[0.0, 1.0]).is_ok());
        assert!(csc(&[0], &[], &[]).is_ok());
        for (starts, rows, values) in [
            (vec![], vec![], vec![]),
            (vec![1, 2], vec![0, 1], vec![1.0, 2.0]),
            (vec![0, 1], vec![0, 1], vec![1.0, 2.0]),
            (vec![0, 2, 1, 2], vec![0, 1], vec![1.0, 2.0]),
            (vec![0, 2], vec![0, 1], vec![1.0]),
            (vec![0, 2], vec![1, 1], vec![1.0, 2.0]),
            (vec![0, 2], vec![2, 1], vec![1.0, 2.0]),
            (vec![0, 2], vec![1, 4], vec![1.0, 2.0]),
        ] {
            assert!(matches!(csc(&starts, &rows, &values), Err(Error::Invalid { argument: "X", .. })));
        }
    }

    #[test]
    fn picked_rows_may_repeat_and_come_in_any_order() {
        let matrix = Matrix::Sparse(csc(&[0, 2, 2, 3], &[1, 3, 0], &[5.0, 6.0, 7.0]).unwrap());
        let dense = [[0.0, 5.0, 0.0, 6.0], [0.0; 4], [7.0, 0.0, 0.0, 0.0]];
        let picked = [3, 1, 1, 2, 0];
        let part = matrix.pick(&picked, 4);
        for (j, column) in dense.iter().enumerate() {
            let wanted: Vec<f64> = picked.iter().map(|&i| column[i]).collect();
            let mut out = vec![0.0; 5];
            part.column(j).add_to(1.0, None, &mut out);
            assert_eq!(out, wanted);
            assert_eq!(matrix.column(j).pick(&picked), wanted);
        }
        assert_eq!((0..3).map(|at| matrix.place_of(at)).collect::<Vec<_>>(), [(1, 0), (3, 0), (0, 2)]);
    }
}
