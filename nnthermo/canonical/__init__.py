"""Canonical ensembles of states (Sections 4-5) themselves: exact, by quadrature, and sampled.

- `maximum_entropy`: β from an average loss, (4.6)-(4.10).
- `ensemble`, `measure`: the density exp(-βH), and what it is integrated against.
- `gaussian`: the normal distribution that (5.9) puts in its place.
- `quadrature`: up to three neurons, the oracle of the others.
- `ancestral`, `weights`, `truncated`: exact sampling without cycles; weighted samples; normal numbers in an interval.
- `annealing`, `sampling`, `coordinates`: log Z of any ensemble; Markov chains; neurons in coordinates without edges.
"""

from nnthermo.canonical.ancestral import ancestral as ancestral
from nnthermo.canonical.ancestral import ancestral_samples as ancestral_samples
from nnthermo.canonical.ancestral import log_partition_difference as log_partition_difference
from nnthermo.canonical.annealing import Annealed as Annealed
from nnthermo.canonical.annealing import annealed as annealed
from nnthermo.canonical.ensemble import CanonicalEnsemble as CanonicalEnsemble
from nnthermo.canonical.ensemble import CanonicalEstimate as CanonicalEstimate
from nnthermo.canonical.ensemble import Estimate as Estimate
from nnthermo.canonical.gaussian import GaussianEnsemble as GaussianEnsemble
from nnthermo.canonical.gaussian import gaussian_ensemble as gaussian_ensemble
from nnthermo.canonical.maximum_entropy import MaximumEntropy as MaximumEntropy
from nnthermo.canonical.maximum_entropy import boltzmann as boltzmann
from nnthermo.canonical.maximum_entropy import maximum_entropy as maximum_entropy
from nnthermo.canonical.measure import Box as Box
from nnthermo.canonical.measure import Flat as Flat
from nnthermo.canonical.measure import Window as Window
from nnthermo.canonical.measure import neuron_ranges as neuron_ranges
from nnthermo.canonical.quadrature import quadrature as quadrature
from nnthermo.canonical.sampling import Chains as Chains
from nnthermo.canonical.sampling import sample as sample
from nnthermo.canonical.weights import WeightedSamples as WeightedSamples
