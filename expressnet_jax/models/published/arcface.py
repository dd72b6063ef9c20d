"""The names of face recognition: InsightFace's and face.evoLVe's IR, InsightFace_Pytorch's MobileFaceNet.

Their pixels are scaled to -1..1, as ours. None has a layer that classifies: it is trained in another file.
"""

from expressnet_jax.models.face_recognition import IR, MobileFaceNet
from expressnet_jax.models.published.naming import Naming


def _insightface(backbone: IR) -> dict[str, str]:
    names = {"stem": "conv1", "stem_norm": "bn1", "stem_prelu": "prelu", "last_norm": "bn2"}
    names |= {"embedding": "fc", "embedding_norm": "features"}
    layers = {"norm_1": "bn1", "conv_1": "conv1", "norm_2": "bn2", "prelu": "prelu", "conv_2": "conv2", "norm_3": "bn3"}
    layers |= {"conv_shortcut": "downsample.0", "norm_shortcut": "downsample.1"}
    for stage, depth in enumerate(backbone.depths, start=1):
        for i in range(depth):
            ours, theirs = f"stage{stage}_block{i + 1}", f"layer{stage}.{i}"
            names |= {f"{ours}/{layer}": f"{theirs}.{name}" for layer, name in layers.items()}
    return names


def _evolve(backbone: IR) -> dict[str, str]:
    names = {"stem": "input_layer.0", "stem_norm": "input_layer.1", "stem_prelu": "input_layer.2"}
    names |= {"last_norm": "output_layer.0", "embedding": "output_layer.3", "embedding_norm": "output_layer.4"}
    residual = ("norm_1", "conv_1", "prelu", "conv_2", "norm_3")
    layers = {name: f"res_layer.{i}" for i, name in enumerate(residual)}
    layers |= {"conv_shortcut": "shortcut_layer.0", "norm_shortcut": "shortcut_layer.1"}
    blocks = [f"stage{stage}_block{i}" for stage, depth in enumerate(backbone.depths, 1) for i in range(1, depth + 1)]
    for number, ours in enumerate(blocks):
        names |= {f"{ours}/{layer}": f"body.{number}.{name}" for layer, name in layers.items()}
    return names


def _mobilefacenet(backbone: MobileFaceNet) -> dict[str, str]:
    names = {"stem": "conv1.conv", "stem_norm": "conv1.bn", "stem_prelu": "conv1.prelu"}
    names |= {"depthwise": "conv2_dw.conv", "norm_depthwise": "conv2_dw.bn", "prelu_depthwise": "conv2_dw.prelu"}
    names |= {"last": "conv_6_sep.conv", "last_norm": "conv_6_sep.bn", "last_prelu": "conv_6_sep.prelu"}
    names |= {"positions": "conv_6_dw.conv", "positions_norm": "conv_6_dw.bn", "embedding": "linear"}
    names |= {"embedding_norm": "bn"}
    parts = {"expand": "conv", "depthwise": "conv_dw", "project": "project"}
    for stage, (_, _, _, depth) in enumerate(backbone.stages, start=1):
        for i in range(depth + 1):
            theirs = f"conv_{stage + 2}.model.{i - 1}" if i else f"conv_{stage + 1}{stage + 2}"
            for layer, name in parts.items():
                ours = f"stage{stage}_block{i + 1}"
                names |= {f"{ours}/{layer}": f"{theirs}.{name}.conv", f"{ours}/norm_{layer}": f"{theirs}.{name}.bn"}
                names |= {f"{ours}/prelu_{layer}": f"{theirs}.{name}.prelu"}
    return names


INSIGHTFACE = Naming(
    "InsightFace", _insightface, "head", size=112, beyond="fc|features", options={"form": "insightface"}
)
EVOLVE = Naming("face.evoLVe", _evolve, "head", size=112, beyond="output_layer", options={"form": "evolve"})
MOBILEFACENET = Naming("InsightFace_Pytorch", _mobilefacenet, "head", size=112, options={})
