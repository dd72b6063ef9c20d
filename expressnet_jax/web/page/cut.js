// From a found face to the image that the network was trained on: upright, square, gray or colour. What crop.py does.

import { averaged, resized, roundEven } from "./resize.js";

// The square `margin` times as wide as the box's area, turned until the eyes are level: {x, y, width, height, angle},
// its centre and sides in pixels of the image, and by how many degrees it is turned clockwise as seen.
export function squareOf(found, margin) {
  const [left, top, width, height] = found.box;
  const side = margin * Math.sqrt(Math.max(width * height, 1));
  return { x: left + width / 2, y: top + height / 2, width: side, height: side, angle: tilt(found.marks) };
}

// The whole image, which the network then sees squeezed into a square.
export function wholeOf(image) {
  return { x: image.width / 2, y: image.height / 2, width: image.width, height: image.height, angle: 0 };
}

// By how many degrees the line through the eyes falls to the right, as seen; 0 without landmarks.
export function tilt(marks) {
  if (!marks) return 0;
  const [[left, upper], [right, lower]] = marks;
  return (Math.atan2(Math.fround(lower - upper), Math.fround(right - left)) * 180) / Math.PI;
}

// An image and a place of squareOf -> bytes[size * size * channels]. `finest` is how many times the final size a face
// is first cut at, at most: it is cut at about the image's own scale, then averaged, for a warp would skip pixels.
export function cutSquare(image, place, size, channels, finest) {
  const first = Math.min(Math.max(roundEven(place.width), size), finest * size);
  const times = roundEven(place.width / first);
  const [near, there] = times > 1 ? nearby(image, place, times) : [image, place];
  const cut = warped(near, inverse(placing(there, first)), first);
  return inChannels(resized(cut, size, size), channels);
}

// What a turned square needs of an image, made `times` smaller by averaging, and the square's place there.
function nearby(image, place, times) {
  const reach = place.width / Math.SQRT2 + 2 * times;
  const [left, right] = span(place.x, reach, image.width);
  const [top, bottom] = span(place.y, reach, image.height);
  const fewer = Math.min(times, right - left, bottom - top);
  const [width, height] = [right - left, bottom - top].map((length) => Math.floor(length / fewer));
  const small = averaged(part(image, left, top, width * fewer, height * fewer), width, height);
  const [x, y, side] = [place.x - left, place.y - top, place.width].map((length) => length / fewer);
  return [small, { ...place, x, y, width: side, height: side }];
}

function span(centre, reach, length) {
  const first = Math.min(Math.max(Math.floor(centre - reach), 0), length - 1);
  return [first, Math.min(Math.max(Math.ceil(centre + reach), first + 1), length)];
}

function part({ data, width: row, channels }, left, top, width, height) {
  const out = new Uint8ClampedArray(width * height * channels);
  for (let y = 0; y < height; y++) {
    const start = ((top + y) * row + left) * channels;
    out.set(data.subarray(start, start + width * channels), y * width * channels);
  }
  return { data: out, width, height, channels };
}

export function cutWhole(image, size, channels) {
  return inChannels(resized(image, size, size), channels);
}

// Where a point of the image comes to lie in the cut one: rows [a, b, c], x' = a x + b y + c.
function placing({ x, y, width, angle }, first) {
  const scale = first / width;
  const turn = (angle * Math.PI) / 180;
  const [a, b] = [Math.cos(turn) * scale, Math.sin(turn) * scale];
  const [u, v] = [Math.fround(x), Math.fround(y)]; // OpenCV's getRotationMatrix2D takes float32
  // Pixels are squares, their centres half a pixel from their corners, which boxes are measured by.
  const c = (1 - a) * u - b * v + first / 2 - x + (a + b) / 2 - 0.5;
  const d = b * u + (1 - a) * v + first / 2 - y + (a - b) / 2 - 0.5;
  return [[a, b, c], [-b, a, d]];
}

function inverse([[a, b, c], [d, e, f]]) {
  const whole = 1 / (a * e - b * d);
  const [p, q, r, s] = [e * whole, -b * whole, -d * whole, a * whole];
  return [[p, q, -p * c - q * f], [r, s, -r * c - s * f]];
}

// cv2.warpAffine with INTER_LINEAR and BORDER_REPLICATE, to the last bit: places in 32nds of a pixel.
function warped(image, [[a, b, c], [d, e, f]], side) {
  const channels = image.channels;
  const data = new Uint8ClampedArray(side * side * channels);
  const across = Array.from({ length: side }, (_, x) => [roundEven(a * x * 1024), roundEven(d * x * 1024)]);
  let at = 0;
  for (let y = 0; y < side; y++) {
    const [startX, startY] = [roundEven((b * y + c) * 1024) + 16, roundEven((e * y + f) * 1024) + 16];
    for (const [moveX, moveY] of across) {
      const [x32, y32] = [(startX + moveX) >> 5, (startY + moveY) >> 5];
      at = blend(image, x32 >> 5, y32 >> 5, x32 & 31, y32 & 31, data, at);
    }
  }
  return { data, width: side, height: side, channels };
}

function blend({ data, width, height, channels }, x, y, right, down, into, at) {
  const inside = (k, length) => (k < 0 ? 0 : k >= length ? length - 1 : k);
  const [x0, x1] = [inside(x, width) * channels, inside(x + 1, width) * channels];
  const [y0, y1] = [inside(y, height) * width * channels, inside(y + 1, height) * width * channels];
  const [left, up] = [32 - right, 32 - down];
  for (let i = 0; i < channels; i++, at++) {
    const upper = data[y0 + x0 + i] * left + data[y0 + x1 + i] * right;
    const lower = data[y1 + x0 + i] * left + data[y1 + x1 + i] * right;
    into[at] = (upper * up + lower * down + 512) >> 10;
  }
  return at;
}

// RGB or RGBA -> the network's channels; gray is OpenCV's luma in 15 bits.
function inChannels({ data, width, height, channels: given }, channels) {
  const out = new Uint8Array(width * height * channels);
  for (let i = 0, from = 0; i < width * height; i++, from += given) {
    if (channels === 3) out.set(data.subarray(from, from + 3), 3 * i);
    else out[i] = (9798 * data[from] + 19235 * data[from + 1] + 3735 * data[from + 2] + 16384) >> 15;
  }
  return out;
}
