"""Studies: the paper's experiments and its open questions, with our settings. One file for each."""

from densitylab.backend.shared.catalog.studies.dynamic import DYNAMIC
from densitylab.backend.shared.catalog.studies.leakage import LEAKAGE
from densitylab.backend.shared.catalog.studies.norms import NORMS
from densitylab.backend.shared.catalog.studies.ood import OOD
from densitylab.backend.shared.catalog.studies.robustness import ROBUSTNESS
from densitylab.backend.shared.catalog.studies.scale import SCALE
from densitylab.backend.shared.catalog.studies.spurious import SPURIOUS

STUDIES = (LEAKAGE, ROBUSTNESS, SPURIOUS, OOD, NORMS, SCALE, DYNAMIC)
