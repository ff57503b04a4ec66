"""Ensembles of states of actual networks as functions of labels: their Fisher metrics, and space-times made of them.

Labels y = (y⁰, y¹, ..., y^d): y⁰ goes with learning, the training step of a `weight_path` or log β; the others move the
data of the inputs. The ensembles are those of Sections 4-5 of arXiv:2004.09280, normal around the fixed state; the
space-time is own design (`nnthermo.gravity.lorentzian`), as of arXiv:2111.00903 only the abstract was read.

Measured on twelve networks of five tanh neurons with feedback, β = 20, gradient descent on four data: in all ten that
learned, the entropy of the states was higher in the end, so that the second law (7.6) is not automatic at fixed β. With
T = -S training was space-like, g_00 > 0, at 66 of 336 labels; with T = y⁰ at none. Reports must name the time function.
Only y⁰ = log β at m = 0 destroys entropy always, ∂S/∂y⁰ = -½ Tr βĜM⁻¹ < 0.
"""

from nnthermo.emergent_spacetime.ensembles import StateEnsemble as StateEnsemble
from nnthermo.emergent_spacetime.ensembles import gaussian_state_ensemble as gaussian_state_ensemble
from nnthermo.emergent_spacetime.ensembles import noisy_state_ensemble as noisy_state_ensemble
from nnthermo.emergent_spacetime.labels import boundary_plane as boundary_plane
from nnthermo.emergent_spacetime.labels import weight_path as weight_path
from nnthermo.emergent_spacetime.samples import noisy_states as noisy_states
