// Resizing 8-bit images as OpenCV does, to the last bit: cv2.resize with INTER_AREA and with INTER_LINEAR.
// An image is {data, width, height, channels}: bytes, row by row from the top, the channels of a pixel side by side.

// Shrinks by averaging over areas, so that no detail aliases; enlarges by linear interpolation.
export function resized(image, width, height) {
  if (image.width === width && image.height === height) return image;
  const shrinks = width * height < image.width * image.height;
  return shrinks ? averaged(image, width, height) : interpolated(image, width, height);
}

// INTER_AREA. Where a side grows, OpenCV interpolates, at places of its own.
export function averaged(image, width, height) {
  const across = image.width / width;
  const down = image.height / height;
  if (across < 1 || down < 1) return interpolated(image, width, height, true);
  const whole = Number.isInteger(across) && Number.isInteger(down);
  return whole ? meansOfBlocks(image, across, down) : meansOfAreas(image, width, height);
}

function meansOfBlocks(image, across, down) {
  const { channels } = image;
  const [width, height] = [image.width / across, image.height / down];
  const data = new Uint8ClampedArray(width * height * channels); // rounds halves to even, as OpenCV does
  const share = Math.fround(1 / (across * down));
  const row = image.width * channels;
  for (let y = 0, at = 0; y < height; y++) {
    for (let i = 0; i < width * channels; i++, at++) {
      const corner = y * down * row + Math.floor(i / channels) * across * channels + (i % channels);
      let sum = 0;
      for (let v = 0; v < down; v++) {
        for (let u = 0; u < across; u++) sum += image.data[corner + v * row + u * channels];
      }
      data[at] = across === 2 && down === 2 ? (sum + 2) >> 2 : Math.fround(sum * share);
    }
  }
  return { data, width, height, channels };
}

// Sums in float32, first along the rows and then down the columns.
function meansOfAreas(image, width, height) {
  const { channels } = image;
  const length = width * channels;
  const data = new Uint8ClampedArray(length * height);
  const columns = flat(shares(image.width, width));
  const narrow = new Float32Array(length);
  const sums = new Float32Array(length);
  let done = 0;
  for (const [row, y, weight] of shares(image.height, height)) {
    if (row !== done) data.set(sums, length * done), sums.fill(0), (done = row);
    narrow.fill(0);
    addRow(image, y, columns, narrow);
    for (let i = 0; i < length; i++) sums[i] += Math.fround(narrow[i] * weight);
  }
  data.set(sums, length * done);
  return { data, width, height, channels };
}

function addRow({ data, width, channels }, y, { larger, smaller, weights }, narrow) {
  for (let k = 0; k < weights.length; k++) {
    const to = larger[k] * channels;
    const from = (y * width + smaller[k]) * channels;
    for (let c = 0; c < channels; c++) narrow[to + c] += Math.fround(data[from + c] * weights[k]);
  }
}

// Side by side in typed arrays: the innermost loop runs over them.
function flat(told) {
  const column = (Type, k) => Type.from(told, (entry) => entry[k]);
  return { larger: column(Int32Array, 0), smaller: column(Int32Array, 1), weights: column(Float32Array, 2) };
}

// Which of `from` pixels make up each of `to` larger ones, as [larger, smaller, share]; slivers are left out.
function shares(from, to) {
  const scale = from / to;
  const told = [];
  for (let i = 0; i < to; i++) {
    const [start, end] = [i * scale, i * scale + scale];
    const cell = Math.min(scale, from - start);
    const last = Math.min(Math.floor(end), from - 1);
    const first = Math.min(Math.ceil(start), last);
    if (first - start > 1e-3) told.push([i, first - 1, Math.fround((first - start) / cell)]);
    for (let k = first; k < last; k++) told.push([i, k, Math.fround(1 / cell)]);
    if (end - last > 1e-3) told.push([i, last, Math.fround(Math.min(end - last, 1, cell) / cell)]);
  }
  return told;
}

// INTER_LINEAR in integers: weights of 11 bits.
export function interpolated(image, width, height, areas = false) {
  const { channels } = image;
  const length = width * channels;
  const data = new Uint8ClampedArray(length * height);
  const rows = alongRows(image, neighbours(image.width, width, areas, true));
  neighbours(image.height, height, areas, false).forEach(([upper, lower, near, far], y) => {
    for (let i = 0; i < length; i++) {
      const above = ((rows[upper * length + i] >> 4) * near) >> 16;
      const below = ((rows[lower * length + i] >> 4) * far) >> 16;
      data[y * length + i] = (above + below + 2) >> 2;
    }
  });
  return { data, width, height, channels };
}

function alongRows(image, columns) {
  const { data, width, height, channels } = image;
  const sums = new Int32Array(columns.length * channels * height);
  let at = 0;
  for (let y = 0; y < height; y++) {
    for (const [left, right, near, far] of columns) {
      const [a, b] = [(y * width + left) * channels, (y * width + right) * channels];
      for (let c = 0; c < channels; c++) sums[at++] = data[a + c] * near + data[b + c] * far;
    }
  }
  return sums;
}

// For each of `to` pixels the two of `from` between which it lies, and their weights. Beyond the image its edge counts:
// along a row OpenCV weighs one pixel fully there, down a column the same pixel twice, which rounds differently.
function neighbours(from, to, areas, alongRow) {
  return Array.from({ length: to }, (_, i) => {
    const place = areas ? i * (from / to) : Math.fround((i + 0.5) * (from / to) - 0.5);
    const first = Math.floor(place);
    let share = Math.fround(areas ? i + 1 - (first + 1) * (to / from) : place - first);
    if (areas) share = share <= 0 ? 0 : Math.fround(share - Math.floor(share));
    if (alongRow && (first < 0 || first >= from - 1)) share = 0;
    const inside = (k) => Math.min(Math.max(k, 0), from - 1);
    return [inside(first), inside(first + 1), roundEven(Math.fround(1 - share) * 2048), roundEven(share * 2048)];
  });
}

// Halves go to the even number, as Python's round and OpenCV's cvRound have it.
export function roundEven(x) {
  const lower = Math.floor(x);
  if (x - lower !== 0.5) return Math.round(x);
  return lower % 2 ? lower + 1 : lower;
}
