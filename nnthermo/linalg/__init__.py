"""Linear algebra without a physics word, most of it of BᵀB for a unit lower block bidiagonal B.

- `dense`, `positive`: products, factors, inverses and log dets of one matrix and of many small ones.
- `runs`: equal layers of blocks taken together, so that depth does not lengthen the compilation.
- `bidiagonal`, `tridiagonal`: block matrices, products with them, and elimination.
- `shifted_gram`, `narrowing`, `gram_inverse`: log det, a quadratic form, and parts of the inverse of cI + βBᵀB.
- `reduction`: singular values of B that are exactly 1 split off from the others.
- `divided_difference`, `trace`, `layered_trace`: Tr φ(BᵀB) with derivatives at any degeneracy.
- `lanczos`: spectra of matrices too large for these, from products with vectors.
"""
