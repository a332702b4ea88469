"""The leading singular vectors of many small matrices: LAPACK, one matrix after the other."""

import numpy as np

AT_ONCE = False
"""Whether `leading` is faster than LAPACK, which gives all directions as well."""


def leading(matrices: np.ndarray, lefts: np.ndarray, rights: np.ndarray) -> None:
    """Write u_1 into lefts (workers, m), and s_1 v_1 into rights (workers, c).

    matrices (workers, m, c), all in float64. u_1 has the length 1, and |X - u_1 s_1 v_1^T| is the
    least there is but for (m + c) eps |X|. Where the largest singular value is found several times
    they are any of its vectors. Signs are as they come.
    """
    u, s, vt = np.linalg.svd(matrices, full_matrices=False)
    lefts[...], rights[...] = u[:, :, 0], s[:, :1] * vt[:, 0]
