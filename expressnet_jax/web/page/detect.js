// CenterFace (Xu et al. 2019): a face is the centre of a heat map, with its size and five landmarks. What centerface.py
// does. `rule` is {size, least, threshold, overlap, multiple, stride}.

import { averaged, interpolated, roundEven } from "./resize.js";

// An image and `run` (float32 planes [3,h,w], width, height -> [heat, size, offset, marks]) -> the faces, the surest
// first: {box: [left, top, width, height], score, marks: five [x, y]}, in pixels of the image.
export async function findFaces(image, rule, run) {
  const small = seen(image, rule);
  const [width, height] = [small.width, small.height].map((side) => Math.ceil(side / rule.multiple) * rule.multiple);
  const maps = await run(planes(small, width, height), width, height);
  const found = suppress(decode(maps, width / rule.stride, rule), rule);
  const [across, down] = [image.width / small.width, image.height / small.height].map(Math.fround);
  return found.map((face) => scaled(face, across, down));
}

// The image as the detector sees it: at most `size` pixels long and at least `least`.
export function seen(image, { size, least }) {
  const longest = Math.max(image.width, image.height);
  const scale = Math.min(size, Math.max(longest, least)) / longest;
  const [width, height] = [image.width, image.height].map((side) => Math.max(roundEven(side * scale), 1));
  if (width === image.width && height === image.height) return image;
  return (scale < 1 ? averaged : interpolated)(image, width, height);
}

// Pixels side by side -> three planes float32[3,h,w], with black to the right and below.
export function planes({ data, width, height, channels }, wide, tall) {
  const out = new Float32Array(3 * wide * tall);
  for (let y = 0, from = 0; y < height; y++) {
    for (let x = 0; x < width; x++, from += channels) {
      for (let c = 0; c < 3; c++) out[(c * tall + y) * wide + x] = data[from + c];
    }
  }
  return out;
}

// Section 3.2: size is a logarithm in strides, offset is the centre's within its cell, marks are shares of the box.
// Every map lists y before x.
export function decode([heat, size, offset, marks], columns, { threshold, stride }) {
  const area = heat.length;
  const least = Math.fround(threshold);
  const faces = [];
  for (let i = 0; i < area; i++) {
    if (!(heat[i] > least)) continue;
    const [height, width] = [0, 1].map((k) => Math.fround(Math.fround(Math.exp(size[k * area + i])) * stride));
    const top = (Math.floor(i / columns) + offset[i] + 0.5) * stride - height / 2;
    const left = ((i % columns) + offset[area + i] + 0.5) * stride - width / 2;
    const mark = (k) => [left + marks[(2 * k + 1) * area + i] * width, top + marks[2 * k * area + i] * height];
    faces.push({ box: [left, top, width, height].map(Math.fround), score: heat[i], marks: [0, 1, 2, 3, 4].map(mark) });
  }
  return faces;
}

// Of faces that overlap the surest stays.
export function suppress(faces, { overlap }) {
  const kept = [];
  for (const face of [...faces].sort((a, b) => b.score - a.score)) {
    if (kept.every((other) => shared(face.box, other.box) <= overlap)) kept.push(face);
  }
  return kept;
}

// Intersection over union of two boxes.
export function shared([left, top, width, height], [x, y, wide, tall]) {
  const across = Math.min(left + width, x + wide) - Math.max(left, x);
  const down = Math.min(top + height, y + tall) - Math.max(top, y);
  const both = Math.max(across, 0) * Math.max(down, 0);
  return both / (width * height + wide * tall - both);
}

function scaled({ box, score, marks }, across, down) {
  const [left, top, width, height] = box;
  const at = ([x, y]) => [Math.fround(x * across), Math.fround(y * down)];
  return { box: [...at([left, top]), ...at([width, height])], score, marks: marks.map(at) };
}
