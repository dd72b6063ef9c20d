// The page's side of worker.js: questions about images, answers as promises.

export class Analyst {
  // `ready` resolves to {facts, attentive} once the model can answer.
  constructor() {
    this.waiting = new Map();
    this.asked = 0;
    this.worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    this.ready = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }));
    this.worker.addEventListener("message", ({ data }) => this.hear(data));
    this.worker.addEventListener("error", ({ message }) => this.fail(new Error(message || "a file is missing")));
  }

  // {data, width, height, channels} -> its faces. Its bytes move to the worker and are gone here.
  describe(image, options = {}) {
    const id = ++this.asked;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, image, ...options }, [image.data.buffer]);
    });
  }

  fail(error) {
    for (const asked of [this, ...this.waiting.values()]) asked.reject(error);
    this.waiting.clear();
  }

  hear({ id, faces, ready, failed }) {
    const asked = id === undefined ? this : this.waiting.get(id);
    this.waiting.delete(id);
    if (failed === undefined) asked.resolve(ready ?? faces);
    else asked.reject(new Error(failed));
  }
}
