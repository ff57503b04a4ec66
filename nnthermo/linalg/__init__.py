"""Linear algebra without a physics word: the Gram matrix of a unit lower block bidiagonal matrix."""
