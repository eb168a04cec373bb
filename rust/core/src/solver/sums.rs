//! What one pass over the rows leaves: the loss, and products with the columns.

/// Sums over rows with weights `omega`, residuals r and curvatures W.
#[derive(Debug, Clone, Default)]
pub struct Sums {
    /// Mean loss.
    pub value: f64,
    /// `1' Omega r`.
    pub pull: f64,
    /// `1' Omega |r|`.
    pub pull_size: f64,
    /// `1' Omega W 1`.
    pub weight: f64,
    /// `max |eta|` and the same of the step.
    pub largest_eta: f64,
    pub largest_step: f64,
    /// Number of columns.
    pub k: usize,
    /// `(W Z, W 1, r)' Omega Z`, k + 2 rows, column-major; of `Z' Omega W Z` only what is on and below the diagonal.
    /// Where it was not asked for there are the last 2 rows alone: of many columns its room would be beyond memory.
    pub products: Vec<f64>,
    pub has_gram: bool,
}

impl Sums {
    /// Of nothing yet.
    pub fn none(k: usize, has_gram: bool) -> Self {
        let height = if has_gram { k + 2 } else { 2 };
        Self { k, products: vec![0.0; k * height], has_gram, ..Self::default() }
    }

    /// Rows of `products`.
    pub fn height(&self) -> usize {
        if self.has_gram { self.k + 2 } else { 2 }
    }

    /// Takes in those of other rows.
    pub fn add(&mut self, other: &Self) {
        self.value += other.value;
        self.pull += other.pull;
        self.pull_size += other.pull_size;
        self.weight += other.weight;
        self.largest_eta = self.largest_eta.max(other.largest_eta);
        self.largest_step = self.largest_step.max(other.largest_step);
        self.products.iter_mut().zip(&other.products).for_each(|(sum, part)| *sum += part);
    }

    /// `Z' Omega W Z` at columns i and j.
    pub fn gram(&self, i: usize, j: usize) -> f64 {
        self.products[i.min(j) * self.height() + i.max(j)]
    }

    /// `z_j' Omega W 1`.
    pub fn cross(&self, j: usize) -> f64 {
        self.products[(j + 1) * self.height() - 2]
    }

    /// `z_j' Omega r`.
    pub fn slope(&self, j: usize) -> f64 {
        self.products[(j + 1) * self.height() - 1]
    }

    /// Those of some columns, in ascending order.
    pub fn on(&self, set: &[usize], has_gram: bool) -> Self {
        let mut sums = Self::none(set.len(), has_gram);
        let height = sums.height();
        (sums.value, sums.pull, sums.pull_size, sums.weight) = (self.value, self.pull, self.pull_size, self.weight);
        (sums.largest_eta, sums.largest_step) = (self.largest_eta, self.largest_step);
        for (at, (&j, column)) in set.iter().zip(sums.products.chunks_exact_mut(height)).enumerate() {
            let (of_columns, of_rows) = column.split_at_mut(height - 2);
            for (out, &i) in of_columns.iter_mut().zip(set).skip(at).filter(|_| has_gram) {
                *out = self.gram(i, j);
            }
            of_rows.copy_from_slice(&[self.cross(j), self.slope(j)]);
        }
        sums
    }

    /// `Z' Omega W 1`.
    pub fn crosses(&self) -> Vec<f64> {
        (0..self.k).map(|j| self.cross(j)).collect()
    }

    /// `Z' Omega r`.
    pub fn slopes(&self) -> Vec<f64> {
        (0..self.k).map(|j| self.slope(j)).collect()
    }
}
