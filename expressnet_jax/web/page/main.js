// Joins the parts of the page: an image or the camera goes in, its faces come out.

import { Analyst } from "./analyst.js";
import { Camera } from "./camera.js";
import { elementsOf } from "./card.js";
import { percent } from "./colours.js";
import { Panel } from "./panel.js";
import { pixelsOf, readImage } from "./image.js";
import { likeliest } from "./smoothing.js";
import { Stage } from "./stage.js";
import { Timeline } from "./timeline.js";
import { Tracks } from "./tracks.js";

const CAMERA_SIZE = 256; // pixels that the detector looks at: before a camera people are near, and more takes longer
const HEARD = 3; // seconds between two messages to those who listen to the page
const RATE = 2; // seconds over which images are counted, or the time of two of them

const find = (id) => document.getElementById(id);
const analyst = new Analyst();
const stage = new Stage(find("view"), choose);
const panel = new Panel(find("panel"), step);
const timeline = new Timeline(find("timeline"));
const still = matchMedia("(prefers-reduced-motion: reduce)");
const shown = { facts: null, faces: [], chosen: null, image: null, camera: null };

analyst.ready.then(begin, ({ message }) => say(`The model can't be loaded: ${message}. Reload the page.`, true));

function begin({ facts, attentive }) {
  shown.facts = facts;
  panel.prepare(facts);
  find("attention-choice").hidden = !attentive;
  find("model").textContent = `${facts.model}, ${facts.parameters.toLocaleString("en")} parameters, trained on ${facts.data}`;
  find("licence").textContent = facts.license;
  find("card-open").hidden = !facts.card;
  for (const name of ["camera", "choose"]) find(name).disabled = false;
  document.body.dataset.ready = "";
  say("");
}

function say(text, wrong = false) {
  find("status").textContent = text;
  find("status").classList.toggle("wrong", wrong);
}

// Images

async function openImage(file) {
  const job = stopAll();
  say("Looking for faces …");
  try {
    await analyst.ready;
    const canvas = await readImage(file);
    if (shown.image !== job) return;
    Object.assign(job, { canvas, name: file.name });
    stage.showImage(canvas);
    await lookAt(job, {});
  } catch ({ message }) {
    if (shown.image !== job) return;
    if (!job.canvas) stage.empty();
    say(message, true);
  }
}

// Asks for the faces of an image; whatever else was opened meanwhile wins.
async function lookAt(job, options) {
  const started = performance.now();
  const faces = await analyst.describe(pixelsOf(job.canvas), options);
  if (shown.image !== job) return;
  const seconds = (performance.now() - started) / 1000;
  show(faces.map((face, key) => ({ ...face, key, best: likeliest(face.probabilities) })));
  find("whole").hidden = faces.length > 0;
  say(faces.length ? `${summary()}, looked at in ${seconds.toFixed(1)} s.` : `No face found in ${job.name}.`);
}

// The faces in a few words.
function summary() {
  const { faces, facts } = shown;
  const face = chosenFace();
  return faces.length === 1 ? `1 face: ${facts.classes[face.best]}` : `${faces.length} faces`;
}

function told({ probabilities, best }) {
  return `${shown.facts.classes[best]}, ${percent(probabilities[best])}`;
}

// Camera

async function openCamera() {
  stopAll();
  const camera = new Camera(stage.video);
  shown.camera = camera;
  say("Starting the camera …");
  try {
    await camera.start(() => closeCamera("The camera was disconnected."));
    if (shown.camera !== camera) return camera.stop();
    stage.showCamera(stage.video.videoWidth, stage.video.videoHeight, camera.mirrored);
    find("history").hidden = false;
    find("camera-text").textContent = "Stop the camera";
    say("");
    await watch(camera);
  } catch ({ message }) {
    if (shown.camera === camera) closeCamera(message);
  }
}

async function watch(camera) {
  const tracks = new Tracks(shown.facts.smoothing);
  const times = [];
  while (shown.camera === camera) {
    const canvas = await camera.next();
    const time = performance.now() / 1000;
    const faces = await analyst.describe(pixelsOf(canvas), { size: CAMERA_SIZE });
    if (shown.camera !== camera) return;
    const turned = stage.width !== canvas.width || stage.height !== canvas.height; // as a telephone is
    if (turned) stage.showCamera(canvas.width, canvas.height, camera.mirrored);
    show(tracks.update(faces, time));
    timeline.add(time, chosenFace());
    tell(time, rate(times, performance.now() / 1000));
  }
}

// Images a second, of the times at which they were done.
function rate(times, now) {
  times.push(now);
  while (times.length > 2 && times[0] < now - RATE) times.shift();
  return times.length > 1 ? (times.length - 1) / (now - times[0]) : 0;
}

let heard = 0;
function tell(time, perSecond) {
  find("rate").textContent = perSecond ? `${perSecond.toFixed(perSecond < 10 ? 1 : 0)} frames/s` : "";
  if (time - heard < HEARD) return;
  heard = time;
  find("heard").textContent = shown.faces.length ? summary() : "No face in sight.";
}

let drawn = 0;
function drawTimeline(milliseconds) {
  requestAnimationFrame(drawTimeline);
  if (!shown.camera || (still.matches && milliseconds - drawn < 1000)) return;
  drawn = milliseconds;
  timeline.draw(performance.now() / 1000);
  const face = chosenFace();
  find("timeline").setAttribute("aria-label", `Probabilities of the last 30 seconds. ${face ? `Now ${told(face)}` : ""}`);
}

function closeCamera(message = "") {
  stopAll();
  stage.empty();
  say(message, Boolean(message));
}

// Ends what is going on -> the job that comes next.
function stopAll() {
  shown.camera?.stop();
  const job = {};
  Object.assign(shown, { camera: null, image: job });
  timeline.clear();
  show([]);
  for (const name of ["history", "whole"]) find(name).hidden = true;
  for (const name of ["rate", "heard"]) find(name).textContent = "";
  find("camera-text").textContent = "Use the camera";
  return job;
}

// Faces

function show(faces) {
  shown.faces = faces;
  if (!chosenFace()) shown.chosen = faces[0]?.key ?? null;
  redraw();
}

function chosenFace() {
  return shown.faces.find((face) => face.key === shown.chosen);
}

function redraw() {
  if (!shown.facts) return;
  const { faces, chosen, facts } = shown;
  const attention = find("attention").checked;
  find("attention-key").hidden = !attention || !faces.length;
  stage.mark(faces, chosen, facts, attention);
  const at = faces.findIndex((face) => face.key === chosen);
  panel.show(faces[at] ?? null, at + 1, faces.length);
}

function choose(key) {
  shown.chosen = key;
  redraw();
}

function step(by) {
  const { faces } = shown;
  const at = faces.findIndex((face) => face.key === shown.chosen);
  choose(faces[(at + by + faces.length) % faces.length].key);
}

// What a person does

find("camera").addEventListener("click", () => (shown.camera ? closeCamera() : openCamera()));
find("choose").addEventListener("click", () => find("file").click());
find("file").addEventListener("change", ({ target }) => {
  if (target.files.length) openImage(target.files[0]);
  target.value = ""; // so that the same file can be chosen again
});
find("whole").addEventListener("click", () => {
  lookAt(shown.image, { whole: true }).catch(({ message }) => say(message, true));
});
find("attention").addEventListener("change", redraw);

const dropping = (on) => find("view").classList.toggle("dropping", on);
addEventListener("dragover", (event) => (event.preventDefault(), dropping(true)));
addEventListener("dragleave", ({ relatedTarget }) => relatedTarget || dropping(false));
addEventListener("drop", (event) => {
  event.preventDefault();
  dropping(false);
  if (event.dataTransfer.files.length) openImage(event.dataTransfer.files[0]);
});
addEventListener("paste", ({ clipboardData }) => {
  if (clipboardData?.files.length) openImage(clipboardData.files[0]);
});

find("card-open").addEventListener("click", async () => {
  const answer = await fetch(`models/${shown.facts.card}`);
  find("card-text").replaceChildren(...elementsOf(answer.ok ? await answer.text() : "The model card can't be read."));
  find("card").showModal();
});
find("card-close").addEventListener("click", () => find("card").close());

requestAnimationFrame(drawTimeline);
