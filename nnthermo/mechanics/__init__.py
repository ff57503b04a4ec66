"""Entropic mechanics: trainable variables that drift and diffuse, as Fokker-Planck, Madelung and Schrödinger dynamics.

Section 11 of arXiv:2004.09280 and the first half of V. Vanchurin, *Towards a theory of quantum gravity from neural
networks*, arXiv:2111.00903, which builds on arXiv:2008.01540 and arXiv:2012.05082. Everything here takes functions or
arrays of the trainable variables q, a free energy F(q), a potential V(q), and knows nothing of networks.

Symbols: q trainable variables, γ (`gamma`) the learning rate of the drift, D (`diffusion`) with ∂p/∂t = D ∇²p, twice
smaller than the D of (11.5); λ (`multiplier`) the multiplier of free-energy production; ħ² (`planck_squared`), of
either sign. Entropies are in nats, time in steps of learning unless said otherwise.
"""

from nnthermo.mechanics.grid import Grid as Grid
