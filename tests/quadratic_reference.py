"""The 3PC paper's quadratics as dense float64 matrices: written from the paper's formula."""

import numpy as np


class Quadratics:
    """f_i = x.A_i x / 2 - b_i.x, of which the mean Hessian's least eigenvalue is mu."""

    def __init__(self, workers, d, noise, mu, seed=0):
        xi, zeta = np.random.default_rng([seed, 1]).standard_normal((workers, 2)).T
        nu, T = 1 + noise * xi, 2 * np.eye(d) - np.eye(d, k=1) - np.eye(d, k=-1)
        hessians = nu[:, np.newaxis, np.newaxis] / 4 * T
        least = np.linalg.eigvalsh(hessians.mean(axis=0))[0]
        self.hessians = hessians + (mu - least) * np.eye(d)
        self.forces = np.zeros((workers, d))
        self.forces[:, 0] = nu / 4 * (-1 + noise * zeta)
        mean = self.hessians.mean(axis=0)
        self.minimum = np.linalg.solve(mean, self.forces.mean(axis=0))

    def gradients(self, x):
        """grad f_i(x), (workers, d)."""
        return self.hessians @ x - self.forces

    def loss(self, x):
        """f(x)."""
        return x @ self.hessians.mean(axis=0) @ x / 2 - x @ self.forces.mean(axis=0)
