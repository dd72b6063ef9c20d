// Faces from image to image: which is which. Distances are counted in sizes of a face, as in tracking.py; here the
// nearest pair goes first, which for the few faces before a camera is the same.

import { Smoother } from "./smoothing.js";

const REACH = 1; // sizes of a face that it may be from where it was
const PATIENCE = 1; // seconds that a face may be out of sight
const PAUSE = 5; // seconds between two images, on a slow computer, over which a face is still the same

export class Tracks {
  // `rule` is that of Smoother.
  constructor(rule) {
    Object.assign(this, { rule, tracks: [], made: 0, last: 0 });
  }

  // Faces at a time in seconds -> the same with a `key` that stays with each, with smoothed probabilities and with the
  // class to show as `best`, those seen for longest first.
  update(faces, time) {
    const patience = (track) => (track.time === this.last ? PAUSE : PATIENCE);
    this.tracks = this.tracks.filter((track) => time - track.time < patience(track));
    this.last = time;
    for (const [face, track] of pairs(faces, this.tracks)) this.follow(track ?? this.begin(), face, time);
    return this.tracks.filter((track) => track.time === time).map((track) => track.face);
  }

  begin() {
    const track = { key: ++this.made, smoother: new Smoother(this.rule) };
    this.tracks.push(track);
    return track;
  }

  follow(track, face, time) {
    const probabilities = track.smoother.update(face.probabilities, time);
    Object.assign(track, { time, face: { ...face, key: track.key, probabilities, best: track.smoother.shown } });
  }
}

// Each face with the track that is nearest to it, the nearest pairs first; or with null.
function pairs(faces, tracks) {
  const all = faces.flatMap((face) => tracks.map((track) => [apart(face.box, track.face.box), face, track]));
  const paired = new Map();
  const taken = new Set();
  for (const [distance, face, track] of all.sort((a, b) => a[0] - b[0])) {
    if (distance >= REACH || paired.has(face) || taken.has(track)) continue;
    paired.set(face, track);
    taken.add(track);
  }
  return faces.map((face) => [face, paired.get(face)]);
}

// Between the centres, in sizes of a face, plus the logarithm of how much larger one is.
export function apart([left, top, width, height], [x, y, wide, tall]) {
  const [size, other] = [Math.sqrt(width * height), Math.sqrt(wide * tall)];
  const away = Math.hypot(left + width / 2 - x - wide / 2, top + height / 2 - y - tall / 2);
  return away / Math.sqrt(size * other) + Math.abs(Math.log(size / other));
}
