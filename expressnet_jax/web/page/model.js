// The detector and the network in ONNX Runtime: an image -> its faces with the probability of each label.

import { cutSquare, cutWhole, squareOf, wholeOf } from "./cut.js";
import { findFaces } from "./detect.js";
import { outputsOf } from "./further.js";
import * as ort from "./ort/ort.js";

const INPUT = "images";
const OUTPUT = "probabilities";
const ATTENTION = "attention"; // only some models have it

// `read` fetches a file of the page by its name -> Uint8Array.
export async function openModel(read) {
  const names = ["models/model.json", "models/expressnet.onnx", "models/centerface.onnx", "ort/ort.wasm.gz"];
  const [facts, network, detector, runtime] = await Promise.all(names.map(read));
  ort.env.wasm.numThreads = 1; // more would need a server that isolates the page
  ort.env.wasm.wasmBinary = await unpacked(runtime);
  ort.env.wasm.wasmPaths = { mjs: new URL("ort/ort-glue.js", import.meta.url).href };
  const open = (bytes) => ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
  return new Model(JSON.parse(new TextDecoder().decode(facts)), await open(network), await open(detector));
}

export class Model {
  // `facts` is model.json: what the file of the network says about itself, and how faces are found and cut.
  constructor(facts, network, detector) {
    Object.assign(this, { facts, network, detector });
    this.attentive = network.outputNames.includes(ATTENTION);
  }

  // An image -> the faces found in it, the surest first. `size` is how long, in pixels, the detector sees it.
  async describe(image, size = this.facts.detector.size) {
    const found = await findFaces(image, { ...this.facts.detector, size }, (...seen) => this.detect(...seen));
    const places = found.map((face) => squareOf(face, this.facts.detector.margin));
    const [side, , channels] = this.facts.image_shape;
    const cuts = places.map((place) => cutSquare(image, place, side, channels, this.facts.finest));
    return this.labelled(found, places, cuts);
  }

  // The image taken as one face, like a cut-out one of a data set.
  async describeWhole(image) {
    const [side, , channels] = this.facts.image_shape;
    const found = { box: [0, 0, image.width, image.height], score: 1, marks: null };
    return this.labelled([found], [wholeOf(image)], [cutWhole(image, side, channels)]);
  }

  async detect(planes, width, height) {
    const input = new ort.Tensor("float32", planes, [1, 3, height, width]);
    const maps = await this.detector.run({ [this.detector.inputNames[0]]: input });
    return this.detector.outputNames.map((name) => maps[name].data);
  }

  async labelled(found, places, cuts) {
    const faces = [];
    for (let start = 0; start < cuts.length; start += this.facts.most_faces) {
      const part = await this.predict(cuts.slice(start, start + this.facts.most_faces));
      part.forEach((told, i) => faces.push({ ...found[start + i], place: places[start + i], ...told }));
    }
    return faces;
  }

  // Cut faces, bytes[S * S * C] each -> {probabilities, seen, attention, outputs} for each.
  async predict(cuts) {
    const { image_shape: shape, input: type, classes } = this.facts;
    const pixels = new (type === "uint8" ? Uint8Array : Float32Array)(cuts.length * cuts[0].length);
    cuts.forEach((cut, i) => pixels.set(cut, i * cut.length));
    const told = await this.network.run({ [INPUT]: new ort.Tensor(type, pixels, [cuts.length, ...shape]) });
    return cuts.map((seen, i) => ({
      probabilities: told[OUTPUT].data.slice(i * classes.length, (i + 1) * classes.length),
      seen,
      attention: this.attentive ? mapOf(told[ATTENTION], i) : null,
      outputs: outputsOf(told, this.facts.outputs, i),
    }));
  }
}

// Image i of a float32[B,h,w].
function mapOf({ data, dims }, i) {
  const [height, width] = dims.slice(-2).map(Number);
  return { data: data.slice(i * width * height, (i + 1) * width * height), width, height };
}

// Some servers unpack .gz on their own.
async function unpacked(bytes) {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
