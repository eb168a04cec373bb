//! Systems with the Laplacian of a small weighted graph.

/// Elimination of a weighted graph with the quadratic form `sum_{k<l} edge_kl (x_k - x_l)^2`.
///
/// Eliminating a node joins its neighbours: edge i-j grows by `edge_vi edge_vj / degree_v`, and degrees are sums of
/// edges. Nothing is subtracted, so edges keep their digits however far apart their sizes are (Grassmann, Taksar and
/// Heyman, 1985), where a Cholesky factorisation would lose the small ones.
#[derive(Clone)]
pub struct Laplacian {
    n_nodes: usize,
    /// Row v holds, right of the diagonal, what node v's edges were when it was eliminated, over its degree.
    shares: Vec<f64>,
    degrees: Vec<f64>,
}

impl Laplacian {
    /// Eliminates a symmetric n x n matrix of edges (the diagonal is not read).
    pub fn new(mut edges: Vec<f64>, n_nodes: usize) -> Self {
        let n = n_nodes;
        let mut degrees = vec![0.0; n];
        for v in 0..n {
            let degree: f64 = edges[v * n + v + 1..(v + 1) * n].iter().sum();
            for j in v + 1..n {
                let edge = edges[v * n + j];
                edges[v * n + j] = if degree > 0.0 { edge / degree } else { 0.0 };
                for i in (v + 1..n).filter(|&i| i != j) {
                    edges[i * n + j] += edges[i * n + v] * edges[v * n + j];
                }
            }
            degrees[v] = degree;
        }
        Self { n_nodes, shares: edges, degrees }
    }

    /// Replaces `rhs`, of sum 0, by the solution of sum 0; a node without edges is left out.
    pub fn solve(&self, rhs: &mut [f64]) {
        let n = self.n_nodes;
        for v in 0..n {
            for j in v + 1..n {
                rhs[j] += self.shares[v * n + j] * rhs[v];
            }
        }
        for v in (0..n).rev() {
            let own = if self.degrees[v] > 0.0 { rhs[v] / self.degrees[v] } else { 0.0 };
            rhs[v] = own + (v + 1..n).map(|j| self.shares[v * n + j] * rhs[j]).sum::<f64>();
        }
        centre(rhs);
    }
}

/// Takes the mean away.
pub fn centre(values: &mut [f64]) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values.iter_mut().for_each(|v| *v -= mean);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `L x` with `L` the Laplacian of these edges.
    fn times(edges: &[f64], x: &[f64]) -> Vec<f64> {
        let n = x.len();
        (0..n).map(|i| (0..n).filter(|&j| j != i).map(|j| edges[i * n + j] * (x[i] - x[j])).sum()).collect()
    }

    fn symmetric(n: usize, edge: impl Fn(usize, usize) -> f64) -> Vec<f64> {
        (0..n * n).map(|e| (e / n, e % n)).map(|(i, j)| edge(i.min(j), i.max(j))).collect()
    }

    proptest! {
        #[test]
        fn solves(n in 2usize..8, powers in prop::collection::vec(-3.0..0.0f64, 64), x in prop::collection::vec(-2.0..2.0f64, 8)) {
            let edges = symmetric(n, |i, j| 10f64.powf(powers[i * n + j]));
            let mut x = x[..n].to_vec();
            centre(&mut x);
            let mut solution = times(&edges, &x);
            Laplacian::new(edges, n).solve(&mut solution);
            for (a, b) in x.iter().zip(&solution) {
                prop_assert!((a - b).abs() < 1e-11, "{} is not {}", b, a);
            }
        }
    }

    #[test]
    fn edges_of_any_size_keep_their_digits() {
        // a chain 0 - 1 - 2 with a flow of 1e-200 through it
        let edges = vec![0.0, 1.0, 0.0, 1.0, 0.0, 1e-200, 0.0, 1e-200, 0.0];
        let mut x = vec![1e-200, 0.0, -1e-200];
        Laplacian::new(edges, 3).solve(&mut x);
        assert!((x[1] - x[2] - 1.0).abs() < 1e-15 && (x[0] - x[1]).abs() < 1e-15);
    }

    #[test]
    fn a_node_without_edges_is_left_out() {
        let mut x = vec![0.0, 1.0, -1.0];
        Laplacian::new(vec![0.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0, 2.0, 0.0], 3).solve(&mut x);
        assert!((x[1] - x[2] - 0.5).abs() < 1e-15 && x.iter().all(|v| v.is_finite()));
    }
}
