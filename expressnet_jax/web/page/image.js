// Image files -> pixels, as inference/images.py reads them: upright, on white, their colours as they are stored.

const MOST_PIXELS = 64e6; // 256 MB decoded

// A File or Blob -> a canvas; an Error says in a sentence why not.
export async function readImage(file) {
  const bitmap = await decoded(file);
  const { width, height } = bitmap;
  if (width * height > MOST_PIXELS) {
    throw new Error(`${file.name} has ${width} × ${height} pixels, which is too many here. Make it smaller.`);
  }
  const canvas = new OffscreenCanvas(width, height);
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.fillStyle = "white";
  pen.fillRect(0, 0, width, height);
  pen.drawImage(bitmap, 0, 0);
  bitmap.close();
  return canvas;
}

async function decoded(file) {
  try {
    return await createImageBitmap(file, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  } catch {
    throw new Error(`${file.name} can't be read as an image. Give a PNG or a JPEG.`);
  }
}

// What is drawn on a canvas -> {data, width, height, channels}.
export function pixelsOf(canvas) {
  const { data, width, height } = canvas
    .getContext("2d", { willReadFrequently: true })
    .getImageData(0, 0, canvas.width, canvas.height);
  return { data, width, height, channels: 4 };
}
