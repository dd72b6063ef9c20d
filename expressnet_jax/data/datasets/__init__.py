"""The data sets by name. A data set is one file with one `FaceBuilder`, and its line here."""

from importlib import import_module

from expressnet_jax.errors import UserError

# The version of what is written for every data set; a change of meaning or of layout raises it.
FORMAT_VERSION = "1.0.0"

DATASETS: dict[str, str] = {
    "fer2013": "expressnet_jax.data.datasets.fer2013:Fer2013",
    "ferplus": "expressnet_jax.data.datasets.ferplus:FerPlus",
    "rafdb": "expressnet_jax.data.datasets.rafdb:RafDb",
    "affectnet": "expressnet_jax.data.datasets.affectnet:AffectNet",
    "ckplus": "expressnet_jax.data.datasets.ckplus:CkPlus",
    "jaffe": "expressnet_jax.data.datasets.jaffe:Jaffe",
    "expw": "expressnet_jax.data.datasets.expw:ExpW",
    "lfw_expression": "expressnet_jax.data.datasets.lfw_expression:LfwExpression",
    "identity": "expressnet_jax.data.datasets.identity:Identity",
    "synthetic": "expressnet_jax.data.datasets.synthetic:Synthetic",
    "folder": "expressnet_jax.data.datasets.folder:Folder",
}


def builder_class(name: str) -> type:
    """The builder of a data set, imported only now.

    Raises:
      UserError: for a name that is not in `DATASETS`; it lists those that are.
    """
    if name not in DATASETS:
        raise UserError(f"no data set {name!r}; the data sets are: {', '.join(DATASETS)}")
    module, attribute = DATASETS[name].split(":")
    return getattr(import_module(module), attribute)
