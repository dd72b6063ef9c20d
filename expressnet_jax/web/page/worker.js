// The model in a thread of its own, so that the page stays quick. Answers one request after the other.

import { openModel } from "./model.js";

const model = openModel(read);
model.then(
  ({ facts, attentive }) => postMessage({ ready: { facts, attentive } }),
  (error) => postMessage({ failed: error.message }),
);

async function read(name) {
  const answer = await fetch(new URL(name, import.meta.url));
  if (!answer.ok) throw new Error(`${name}: the server answers ${answer.status}`);
  return new Uint8Array(await answer.arrayBuffer());
}

let last = model;
addEventListener("message", ({ data: { id, image, size, whole } }) => {
  const answer = async () => {
    const opened = await model;
    return whole ? opened.describeWhole(image) : opened.describe(image, size);
  };
  last = last.then(answer, answer).then(
    (faces) => postMessage({ id, faces }),
    (error) => postMessage({ id, failed: error.message }),
  );
});
