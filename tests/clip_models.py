"""Small ONNX files of networks of clips, written node by node: what a test of prediction needs, without compiling."""

import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from expressnet_jax.data.fields import Field

CLASSES = ("anger", "calm", "joy")
CLIP = (4, 16, 16, 3)


def write_clip_model(path, rate=0.0, sound=0, missing=True):
    """Write a network whose classes are weighted sums of the frames' mean colours; with `sound`, so many samples, also
    of their power."""
    rng = np.random.default_rng(0)
    name = "clip" if sound else "images"
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT if sound else TensorProto.UINT8, ["B", *CLIP])]
    constants = {"places": [2, 3], "flat": [0, 12], "colours": rng.normal(0, 0.05, (12, 3)).astype(np.float32)}
    nodes = [
        helper.make_node("Cast", [name], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float", "places"], ["means"], keepdims=0),
        helper.make_node("Reshape", ["means", "flat"], ["row"]),
        helper.make_node("MatMul", ["row", "colours"], ["seen"]),
    ]
    inputs = {}
    if sound:
        given.append(helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["B", sound]))
        constants |= {"time": [1], "loud": np.array([[40.0, 0.0, -40.0]], np.float32)}
        nodes += [
            helper.make_node("Mul", ["waveform", "waveform"], ["squares"]),
            helper.make_node("ReduceMean", ["squares", "time"], ["power"], keepdims=1),
            helper.make_node("MatMul", ["power", "loud"], ["heard"]),
        ]
        inputs = {"clip": Field("clip", CLIP, rate=rate), "waveform": Field("waveform", (sound,), rate=16_000)}
    logits = helper.make_node("Add", ["seen", "heard"], ["logits"]) if sound else None
    nodes += [*filter(None, [logits])]
    nodes.append(helper.make_node("Softmax", ["logits" if sound else "seen"], ["probabilities"]))
    answer = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["B", 3])
    stored = [numpy_helper.from_array(np.array(value), key) for key, value in constants.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "clips", given, [answer], stored), opset_imports=[helper.make_opsetid("", 18)]
    )
    model.ir_version = 9
    facts = {"classes": CLASSES, "image_shape": None if sound else CLIP, "model_options": {}, "parameters": 36}
    facts |= {"step": 0, "versions": {}, "inputs": {key: field.to_json() for key, field in inputs.items()}}
    plain = {"input": "float32" if sound else "uint8", "missing_inputs": "true" if missing else "false"}
    plain |= {"frame_rate": str(rate)} if rate and not sound else {}
    for key, value in ({key: json.dumps(fact) for key, fact in facts.items()} | plain).items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, path)
    return path
