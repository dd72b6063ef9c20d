// What a network gives besides the answer: other classes, named values, points. `fields` is the model's own account of
// them by name: {kind, shape, names}.

const LISTED = 5; // of many named values, the largest

// Face i of what the network returned, {name: {data}} -> {name: numbers}.
export function outputsOf(told, fields, i) {
  const part = ([name, { shape }]) => {
    const size = shape.reduce((product, length) => product * length, 1);
    return [name, told[name].data.slice(i * size, (i + 1) * size)];
  };
  return Object.fromEntries(Object.entries(fields).map(part));
}

// Points, x and y from -1 to 1 over the face as it was cut out at `place` -> [x, y] in pixels of the image.
export function pointsInImage(values, place) {
  const turn = (place.angle * Math.PI) / 180;
  const [cosine, sine] = [Math.cos(turn), Math.sin(turn)];
  return Array.from({ length: values.length / 2 }, (_, i) => {
    const [x, y] = [(values[2 * i] * place.width) / 2, (values[2 * i + 1] * place.height) / 2];
    return [place.x + cosine * x - sine * y, place.y + sine * x + cosine * y];
  });
}

// All points of a face in pixels of the image; none without outputs that are points.
export function pointsOf({ outputs = {}, place }, fields = {}) {
  const names = Object.keys(outputs).filter((name) => fields[name].kind === "points");
  return names.flatMap((name) => pointsInImage(outputs[name], place));
}

// What there is to say of a face in words: [name of the output, its likeliest class or its largest values].
export function wordsOf(outputs, fields) {
  const named = Object.entries(outputs).filter(([name]) => fields[name].kind !== "points" && fields[name].names.length);
  return named.map(([name, values]) => {
    const { kind, names } = fields[name];
    const order = names.map((_, k) => k).sort((a, b) => values[b] - values[a]);
    const shown = order.slice(0, kind === "class" ? 1 : LISTED);
    return [name.replaceAll("_", " "), shown.map((k) => `${names[k]} ${values[k].toFixed(2)}`).join(", ")];
  });
}

// Marks the points of `faces` on a canvas of the image's proportions, `scale` times its size.
export function drawPoints(canvas, faces, fields, scale) {
  const pen = canvas.getContext("2d");
  pen.resetTransform();
  pen.fillStyle = "#fff";
  for (const face of faces) {
    const radius = Math.max((scale * face.box[2]) / 150, 1);
    for (const [x, y] of pointsOf(face, fields)) {
      pen.beginPath();
      pen.arc(scale * x, scale * y, radius, 0, 2 * Math.PI);
      pen.fill();
    }
  }
}
