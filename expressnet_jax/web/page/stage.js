// The image or the camera's stream with a button over each face.

import { drawAttention } from "./attention.js";
import { colourName, percent } from "./colours.js";
import { drawPoints } from "./further.js";

const SHARP = 1600; // pixels of the longer side at which attention is drawn, at most

const TAG = 34; // pixels that a tag takes above its face

export class Stage {
  // `choose` is called with the key of the face that a person chooses.
  constructor(view, choose) {
    const find = (name) => view.querySelector(name);
    Object.assign(this, { view, choose, frame: find(".frame"), image: find(".image"), video: find("video") });
    Object.assign(this, { veil: find(".veil"), boxes: find(".boxes"), buttons: new Map() });
  }

  // Nothing yet: the invitation.
  empty() {
    this.view.dataset.shows = "nothing";
    this.clear();
  }

  // A canvas with an image.
  showImage(canvas) {
    this.size(canvas.width, canvas.height, false);
    Object.assign(this.image, { width: canvas.width, height: canvas.height });
    this.image.getContext("2d").drawImage(canvas, 0, 0);
    this.view.dataset.shows = "image";
  }

  showCamera(width, height, mirrored) {
    this.size(width, height, mirrored);
    this.view.dataset.shows = "camera";
  }

  size(width, height, mirrored) {
    Object.assign(this, { width, height, mirrored, scale: Math.min(SHARP / Math.max(width, height), 1) });
    this.frame.style.setProperty("--aspect", width / height);
    this.frame.classList.toggle("mirrored", mirrored);
    Object.assign(this.veil, { width: Math.round(width * this.scale), height: Math.round(height * this.scale) });
    this.clear();
  }

  clear() {
    this.mark([], null, { classes: [], outputs: {} }, false);
  }

  // Draws `faces`, each with a key, probabilities and its likeliest class `best`; the one with the key `chosen` is chosen.
  // `facts` names the classes and describes the network's further outputs, of which points are drawn.
  mark(faces, chosen, { classes, outputs }, attention) {
    const keys = new Set(faces.map((face) => face.key));
    for (const [key, button] of this.buttons) {
      if (!keys.has(key)) button.remove(), this.buttons.delete(key);
    }
    faces.forEach((face, i) => this.place(face, i + 1, face.key === chosen, classes));
    drawAttention(this.veil, attention ? faces : [], this.scale);
    drawPoints(this.veil, faces, outputs, this.scale);
  }

  place({ key, box, probabilities, best }, number, chosen, classes) {
    const button = this.buttons.get(key) ?? this.newButton(key);
    const [left, top, width, height] = box;
    const share = percent(probabilities[best]);
    const start = this.mirrored ? this.width - left - width : left;
    const places = { left: start / this.width, top: top / this.height };
    const sides = { width: width / this.width, height: height / this.height };
    for (const [side, part] of Object.entries({ ...places, ...sides })) button.style[side] = `${100 * part}%`;
    button.style.setProperty("--class", `var(${colourName(best)})`);
    button.classList.toggle("high", places.top * this.frame.clientHeight < TAG);
    button.classList.toggle("late", places.left > 0.7);
    button.setAttribute("aria-pressed", chosen);
    button.setAttribute("aria-label", `Face ${number}: ${classes[best]}, ${share}`);
    button.querySelector(".number").textContent = number;
    button.querySelector(".label").textContent = `${classes[best]} ${share}`;
  }

  newButton(key) {
    const button = document.createElement("button");
    const tag = document.createElement("span");
    tag.className = "tag";
    tag.append(...["number", "label"].map((name) => Object.assign(document.createElement("span"), { className: name })));
    button.type = "button";
    button.className = "box";
    button.append(tag);
    button.addEventListener("click", () => this.choose(key));
    this.boxes.append(button);
    this.buttons.set(key, button);
    return button;
  }
}
