// A part of a picture as a file of its own.

const QUALITY = 0.95;

/**
 * What `box` (fractions of the upright picture) shows of the picture in `file`, at full resolution: of a JPEG, a JPEG; of
 * others a WebP, which keeps transparent parts, for the server to choose their ground. Throws an Error for people where
 * the browser can't.
 */
export async function cutOut(file, box) {
  const address = URL.createObjectURL(file);
  try {
    const picture = new Image();
    picture.src = address;
    await picture.decode().catch(() => {
      throw new Error("this browser can't open the picture's format, so no part of it can be cut out");
    });
    const { x, y, width, height } = pixels(box, picture.naturalWidth, picture.naturalHeight);
    const canvas = document.createElement("canvas");
    canvas.width = width;
    canvas.height = height;
    const brush = canvas.getContext("2d");
    brush.drawImage(picture, x, y, width, height, 0, 0, width, height);
    const kind = file.type === "image/jpeg" ? file.type : "image/png";
    const part = await new Promise((resolve) => canvas.toBlob(resolve, kind, QUALITY));
    if (part === null) throw new Error("this part has too many pixels for the browser: make the box smaller");
    return part;
  } finally {
    URL.revokeObjectURL(address);
  }
}

/**
 * Whole pixels, at least one, inside the picture:
 * pixels({x: 0.25, y: 0, width: 0.5, height: 1}, 640, 480) → {x: 160, y: 0, width: 320, height: 480}.
 */
function pixels(box, pictureWidth, pictureHeight) {
  const x = Math.min(Math.round(box.x * pictureWidth), pictureWidth - 1);
  const y = Math.min(Math.round(box.y * pictureHeight), pictureHeight - 1);
  return {
    x,
    y,
    width: Math.max(1, Math.round((box.x + box.width) * pictureWidth) - x),
    height: Math.max(1, Math.round((box.y + box.height) * pictureHeight) - y),
  };
}
