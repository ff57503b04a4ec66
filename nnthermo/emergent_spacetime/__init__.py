"""Ensembles of states of actual networks as functions of labels: their Fisher metrics, and space-times made of them.

`labels` are what the data and the weights depend on, `states` the fixed states there, `ensembles` the normal
distributions around them, `samples` the states of networks with noise.

Labels y = (y⁰, y¹, ..., y^d): y⁰ goes with learning, the training step of a `weight_path` or log β; the others move the
data of the inputs. The ensembles are those of Sections 4-5 of arXiv:2004.09280, normal around the fixed state; the
space-time is own design (`nnthermo.gravity.lorentzian`), as of arXiv:2111.00903 only the abstract was read.

At fixed β the entropy of the states may rise while the loss falls: the second law (7.6) is not automatic, and with
T = -S training can be space-like, g_00 > 0. `nnthermo gravity` measures it for networks that learn; reports must name
the time function. Only y⁰ = log β at m = 0 destroys entropy always, ∂S/∂y⁰ = -½ Tr βĜM⁻¹ < 0.
"""

from nnthermo.emergent_spacetime.ensembles import StateEnsemble as StateEnsemble
from nnthermo.emergent_spacetime.ensembles import gaussian_state_ensemble as gaussian_state_ensemble
from nnthermo.emergent_spacetime.ensembles import noisy_state_ensemble as noisy_state_ensemble
from nnthermo.emergent_spacetime.labels import boundary_plane as boundary_plane
from nnthermo.emergent_spacetime.labels import weight_path as weight_path
from nnthermo.emergent_spacetime.samples import noisy_states as noisy_states
