// What is shown of the chosen face: what the network saw of it, its label, and the probability of each class.

import { colourName, percent } from "./colours.js";
import { wordsOf } from "./further.js";

export class Panel {
  // `step` is called with -1 or 1 for the face before or after the chosen one.
  constructor(panel, step) {
    this.panel = panel;
    this.find(".before").addEventListener("click", () => step(-1));
    this.find(".after").addEventListener("click", () => step(1));
  }

  find(name) {
    return this.panel.querySelector(name);
  }

  // A row for each class, once they are known.
  prepare({ classes, image_shape: shape, outputs }) {
    Object.assign(this, { classes, shape, fields: outputs });
    const rows = classes.map((name, k) => this.row(name, k));
    this.bars = rows.map((row) => row.querySelector(".bar"));
    this.shares = rows.map((row) => row.querySelector(".share"));
    this.find(".bars").replaceChildren(...rows);
    this.show(null);
  }

  row(name, k) {
    const row = document.createElement("li");
    const part = (kind, text = "") => Object.assign(document.createElement("span"), { className: kind, textContent: text });
    const bar = part("bar");
    bar.setAttribute("role", "meter");
    bar.setAttribute("aria-label", name);
    bar.setAttribute("aria-valuemin", 0);
    bar.setAttribute("aria-valuemax", 1);
    row.append(part("name", name), bar, part("share"));
    row.style.setProperty("--class", `var(${colourName(k)})`);
    return row;
  }

  // The face number `number` of `count`; null is none.
  show(face, number = 0, count = 0) {
    this.panel.classList.toggle("none", !face);
    const shares = face?.probabilities ?? this.classes.map(() => 0);
    const best = face?.best;
    this.bars.forEach((bar, k) => this.fill(bar, k, shares[k], k === best));
    this.find(".count").textContent = face ? `Face ${number} of ${count}` : "No face";
    this.find(".label").textContent = face ? this.classes[best] : "–";
    this.find(".sure").textContent = face ? percent(shares[best]) : "";
    this.find(".steps").hidden = count < 2;
    this.find(".further").replaceChildren(...(face ? this.further(face.outputs) : []));
    this.drawSeen(face?.seen);
  }

  // A term and its description for each further output of the network.
  further(outputs) {
    const part = (tag, textContent) => Object.assign(document.createElement(tag), { textContent });
    return wordsOf(outputs, this.fields).flatMap(([name, words]) => [part("dt", name), part("dd", words)]);
  }

  fill(bar, k, share, best) {
    bar.style.setProperty("--share", share);
    bar.setAttribute("aria-valuenow", share);
    bar.setAttribute("aria-valuetext", percent(share));
    bar.parentElement.classList.toggle("best", best);
    this.shares[k].textContent = this.panel.classList.contains("none") ? "" : percent(share);
  }

  // The network's own image of the face, bytes[S * S * C].
  drawSeen(seen) {
    const [size, , channels] = this.shape;
    const canvas = this.find(".seen");
    Object.assign(canvas, { width: size, height: size });
    if (!seen) return;
    const image = new ImageData(size, size);
    for (let i = 0; i < size * size; i++) {
      for (let c = 0; c < 3; c++) image.data[4 * i + c] = seen[i * channels + (channels === 3 ? c : 0)];
      image.data[4 * i + 3] = 255;
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
  }
}
