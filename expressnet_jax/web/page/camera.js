// The camera as a stream of images.

const WANTED = { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "user", frameRate: { ideal: 30 } };

export class Camera {
  constructor(video) {
    this.video = video;
    this.canvas = new OffscreenCanvas(1, 1);
  }

  // Starts it; an Error says in a sentence why it can't be. `lost` is called when it goes away by itself.
  async start(lost) {
    if (!navigator.mediaDevices) throw new Error("The camera needs a page from this computer or over https.");
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ video: WANTED, audio: false });
    } catch (error) {
      throw new Error(REASONS[error.name] ?? `The camera can't be used: ${error.message}.`);
    }
    const [track] = this.stream.getVideoTracks();
    track.addEventListener("ended", lost);
    this.mirrored = track.getSettings().facingMode !== "environment"; // people know themselves from mirrors
    this.video.srcObject = this.stream;
    await this.video.play();
  }

  stop() {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.video.srcObject = null;
  }

  // The next image, once there is one -> the canvas that it is drawn on.
  async next() {
    await nextFrame(this.video);
    const { videoWidth, videoHeight } = this.video;
    if (this.canvas.width !== videoWidth || this.canvas.height !== videoHeight) {
      Object.assign(this.canvas, { width: videoWidth, height: videoHeight });
    }
    this.canvas.getContext("2d", { willReadFrequently: true }).drawImage(this.video, 0, 0);
    return this.canvas;
  }
}

const REASONS = {
  NotAllowedError: "The browser was not allowed to use the camera. Allow it in the address bar, then try again.",
  NotFoundError: "No camera was found. Connect one, or choose an image.",
  NotReadableError: "The camera is in use by another program. Close it there, then try again.",
};

function nextFrame(video) {
  return new Promise((resolve) => {
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(resolve);
    else requestAnimationFrame(resolve);
  });
}
