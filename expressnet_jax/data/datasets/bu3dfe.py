"""BU-3DFE (Yin et al. 2006): 100 people show six expressions in four strengths, and neutral; 2,500 meshes of faces.

Layout: F0001/F0001_AN01WH_F3D.wrl, ...: the person, the expression (AN, DI, FE, HA, NE, SA, SU), its strength from 1 to
4 (0 of neutral), the person's descent, and F3D for the cropped face; the raw scans, _RAW, are skipped. There is no
official split: papers hold people out in ten folds and often take the two highest strengths alone.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from expressnet_jax.data.datasets.locate import locate
from expressnet_jax.data.datasets.meshes import MESH_OPTIONS, MeshBuilder, MeshFile
from expressnet_jax.data.labels import BASIC
from expressnet_jax.data.media_files import no_litter
from expressnet_jax.errors import UserError

CODES = {
    "AN": "anger",
    "DI": "disgust",
    "FE": "fear",
    "HA": "happiness",
    "NE": "neutral",
    "SA": "sadness",
    "SU": "surprise",
}
_NAME = re.compile(r"([FM]\d{4})_([A-Z]{2})0([0-4])[A-Z]{2}_F3D\.(?:wrl|obj|ply)", re.IGNORECASE)


class Bu3dfe(MeshBuilder, skip_registration=True):
    """BU-3DFE; subject is the person. Option `weakest`: the lowest strength that is taken, from 1 to 4."""

    name = "bu3dfe"
    CLASSES = BASIC
    LICENSE = "Research only, under the BU-3DFE agreement of Binghamton University; scans may not be passed on."
    HOW_TO_GET = (
        "Ask for access at https://www.cs.binghamton.edu/~lijun/Research/3DFE/3DFE_Analysis.html, and give the folder "
        "that holds F0001/ ... with --source"
    )
    OPTIONS: ClassVar = {**MESH_OPTIONS, "weakest": 1}

    @classmethod
    def fits(cls, folder: Path) -> bool:
        """Return whether a person's scans are there."""
        return any(_NAME.fullmatch(path.name) for path in folder.glob("[FM]0*/*_F3D.*"))

    def meshes(self, source: Path) -> Mapping[str, Sequence[MeshFile]]:
        """Return the scans by person, expression and strength in the one split "all"."""
        root, weakest = locate(self, source, "no files like F0001/F0001_AN01WH_F3D.wrl"), self.options["weakest"]
        if not 1 <= weakest <= 4:
            raise UserError(f"{self.name}: weakest is {weakest}; it must be from 1 to 4")
        found = []
        for path in sorted(no_litter(root.glob("[FM]0*/*_F3D.*"))):
            match = _NAME.fullmatch(path.name)
            if match and match[2].upper() not in CODES:
                raise UserError(f"{self.name}: {path}: {match[2]} is not one of {', '.join(CODES)}; remove the file")
            if match and (match[2].upper() == "NE" or int(match[3]) >= weakest):
                label = BASIC.index(CODES[match[2].upper()])
                found.append(MeshFile(path.stem, path, label, subject=match[1].upper()))
        return {"all": found}
