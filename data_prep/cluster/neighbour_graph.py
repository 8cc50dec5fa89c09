"""UMAP's graph of a sample: each row's nearest neighbours, weighted by how near they are for that row.

umap-learn makes the same graph, but compiles each function that it needs before its first use, which takes several
times as long as a sample of some thousand rows does here, in arrays. Formulas: McInnes, Healy, Melville, arXiv
1802.03426, section 3.1, and algorithms 2 and 3; with one neighbour at least that is wholly near.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

EQUAL = 1e-6
"""Rows of length 1 that are nearer than this are equal: distances come from scalar products, which are rounded."""
HALVINGS = 64
SMALLEST_SCALE = 1e-3
"""Of a row's scale, as a share of its neighbours' mean distance (umap-learn's MIN_K_DIST_SCALE)."""


def neighbour_graph(vectors: np.ndarray, neighbours: int) -> csr_array:
    """(n, n) symmetric weights from 0 to 1. `neighbours` counts the row itself, as UMAP does."""
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=neighbours, algorithm="brute").fit(vectors)
    distances, places = search.kneighbors(vectors)  # (n, K), ascending, the row itself among them
    distances[distances < EQUAL] = 0
    weights = np.where(places == np.arange(len(vectors))[:, None], 0, memberships(distances))
    starts = np.arange(0, weights.size + 1, neighbours)
    directed = csr_array((weights.ravel().astype(np.float32), places.ravel(), starts), (len(vectors),) * 2)
    directed.eliminate_zeros()
    return csr_array(directed + directed.T - directed.multiply(directed.T))  # the probability of either edge


def memberships(distances: np.ndarray) -> np.ndarray:
    """(n, K): 1 up to the nearest neighbour that is not equal, from there falling exponentially, on each row's own
    scale: the one with which the weights of all but the first add up to log2 K, found by bisection.
    """
    nearest = np.where(distances > 0, distances, np.inf).min(axis=1, keepdims=True)
    beyond = np.maximum(0, distances - np.where(np.isfinite(nearest), nearest, 0))
    low, high, scale = np.zeros(len(distances)), np.full(len(distances), np.inf), np.ones(len(distances))
    for _ in range(HALVINGS):
        wide = np.exp(-beyond[:, 1:] / scale[:, None]).sum(axis=1) > np.log2(distances.shape[1])
        low, high = np.where(wide, low, scale), np.where(wide, scale, high)
        scale = np.where(np.isfinite(high), (low + high) / 2, 2 * low)
    means = np.where(np.isfinite(nearest[:, 0]), distances.mean(axis=1), distances.mean())
    scale = np.maximum(scale, SMALLEST_SCALE * means)
    return np.exp(-beyond / np.maximum(scale, np.finfo(np.float64).tiny)[:, None])
