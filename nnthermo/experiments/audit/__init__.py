"""The executable paper: every numbered equation of arXiv:2004.09280, (2.1)-(12.14), evaluated and judged."""

from nnthermo.experiments.audit.pipeline import EQUATIONS as EQUATIONS
from nnthermo.experiments.audit.pipeline import audit as audit
from nnthermo.experiments.audit.pipeline import audit_one as audit_one
