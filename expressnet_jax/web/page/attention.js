// Which places of a face spoke for its label and which against it, as a veil over it: warm and cool.

const FOR = [255, 176, 40];
const AGAINST = [64, 120, 255];
const OPAQUE = 0.7; // where a face's map is furthest from 0

// Draws the maps of `faces` at their places on a canvas of the image's proportions, `scale` times its size.
export function drawAttention(canvas, faces, scale) {
  const pen = canvas.getContext("2d");
  pen.resetTransform();
  pen.clearRect(0, 0, canvas.width, canvas.height);
  for (const { attention, place } of faces) {
    if (!attention) continue;
    pen.setTransform(scale, 0, 0, scale, scale * place.x, scale * place.y);
    pen.rotate((place.angle * Math.PI) / 180);
    pen.drawImage(veil(attention), -place.width / 2, -place.height / 2, place.width, place.height);
  }
}

function veil({ data, width, height }) {
  const small = new OffscreenCanvas(width, height);
  const image = new ImageData(tinted(data), width, height);
  small.getContext("2d").putImageData(image, 0, 0);
  return small;
}

// A map float32[h,w] of evidence -> RGBA bytes: 0 is clear, the furthest from it is OPAQUE.
export function tinted(data) {
  const most = data.reduce((sofar, value) => Math.max(sofar, Math.abs(value)), 0) || 1;
  const bytes = new Uint8ClampedArray(4 * data.length);
  data.forEach((value, i) => {
    bytes.set(value > 0 ? FOR : AGAINST, 4 * i);
    bytes[4 * i + 3] = (255 * OPAQUE * Math.abs(value)) / most;
  });
  return bytes;
}
