// The last seconds of a face's smoothed probabilities as bands that add up to 100 %.

import { colour } from "./colours.js";

const SPAN = 30; // seconds shown
const TICKS = [30, 20, 10, 0]; // seconds ago
const EDGE = { left: 52, right: 10, top: 10, bottom: 22 }; // pixels around the bands

export class Timeline {
  constructor(canvas) {
    this.canvas = canvas;
    this.clear();
  }

  clear() {
    this.samples = [];
  }

  // The chosen face at a time in seconds; none where it is out of sight.
  add(time, face) {
    this.samples.push({ time, key: face?.key, probabilities: face?.probabilities });
    while (this.samples.length > 1 && this.samples[1].time < time - SPAN) this.samples.shift();
  }

  draw(now) {
    const { pen, width, height } = fitted(this.canvas);
    const area = { left: EDGE.left, top: EDGE.top, width: width - EDGE.left - EDGE.right };
    area.height = height - EDGE.top - EDGE.bottom;
    const x = (time) => area.left + area.width * (1 - (now - time) / SPAN);
    const y = (share) => area.top + area.height * (1 - share);
    pen.clearRect(0, 0, width, height);
    axes(pen, area, now, x, y);
    pen.save();
    pen.beginPath();
    pen.rect(area.left, area.top, area.width, area.height);
    pen.clip();
    for (const run of runs(this.samples)) bands(run).forEach((band, k) => fill(pen, band, colour(k), x, y));
    pen.restore();
  }
}

// Samples of one face that follow each other, together.
export function runs(samples) {
  const together = [];
  samples.forEach((sample, i) => {
    if (sample.key === undefined) return;
    if (i && samples[i - 1].key === sample.key) together.at(-1).push(sample);
    else together.push([sample]);
  });
  return together;
}

// Samples -> for each class the corners [time, lower, upper] of its band; the classes lie on each other.
export function bands(samples) {
  const classes = samples[0].probabilities.length;
  const floors = samples.map(() => 0);
  return Array.from({ length: classes }, (_, k) =>
    samples.map(({ time, probabilities }, i) => [time, floors[i], (floors[i] += probabilities[k])]),
  );
}

// The canvas at the screen's own resolution.
function fitted(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const [wide, tall] = [width, height].map((side) => Math.round(side * devicePixelRatio));
  if (canvas.width !== wide || canvas.height !== tall) Object.assign(canvas, { width: wide, height: tall });
  const pen = canvas.getContext("2d");
  pen.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
  return { pen, width, height };
}

function axes(pen, { left, top, width, height }, now, x, y) {
  const style = getComputedStyle(document.documentElement);
  pen.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  pen.fillStyle = style.getPropertyValue("--quiet");
  pen.strokeStyle = style.getPropertyValue("--line");
  pen.textBaseline = "middle";
  pen.textAlign = "right";
  for (const share of [0, 0.5, 1]) {
    pen.strokeRect(left, Math.round(y(share)) + 0.5, width, 0);
    pen.fillText(`${100 * share} %`, left - 8, y(share));
  }
  pen.textBaseline = "top";
  for (const ago of TICKS) {
    pen.textAlign = ago === 0 ? "right" : ago === SPAN ? "left" : "center";
    pen.fillText(ago ? `${ago} s ago` : "now", x(now - ago), top + height + 6);
  }
}

function fill(pen, band, style, x, y) {
  pen.beginPath();
  for (const [time, , upper] of band) pen.lineTo(x(time), y(upper));
  for (const [time, lower] of band.slice().reverse()) pen.lineTo(x(time), y(lower));
  pen.fillStyle = style;
  pen.fill();
}
