// A picture, or what a box cuts out of it, made small.

const SIDE = 160;

/** A small WebP of the picture in `blob`; `box` is in fractions of it, null for all. Null where the browser can't draw it. */
export async function miniature(blob, box = null) {
  try {
    const picture = await createImageBitmap(blob);
    const { x, y, width, height } = box ?? { x: 0, y: 0, width: 1, height: 1 };
    const cut = [x * picture.width, y * picture.height, width * picture.width, height * picture.height];
    const scale = Math.min(1, SIDE / Math.max(cut[2], cut[3]));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(cut[2] * scale));
    canvas.height = Math.max(1, Math.round(cut[3] * scale));
    canvas.getContext("2d").drawImage(picture, ...cut, 0, 0, canvas.width, canvas.height);
    picture.close();
    return await new Promise((resolve) => canvas.toBlob(resolve, "image/webp", 0.8));
  } catch {
    return null;
  }
}
