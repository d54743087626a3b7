// Pictures of the server's. Without a key they are plain addresses; an <img> can't send a key, so with one they are
// fetched, shortly before they come into view, and shown as blob: addresses that are given back when no longer shown.

import { ask, askBlob, blobOf } from "./api.js";
import { element } from "./elements.js";

/** A source of pictures that all go with one answer; `discard()` when that answer is no longer shown. */
export function pictures(key) {
  const stopped = new AbortController();
  const blobs = [];
  const awaited = new Map(); // img → address
  const nearView = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting) continue;
        nearView.unobserve(target);
        load(target, awaited.get(target));
      }
    },
    { rootMargin: "400px" },
  );

  async function load(image, address) {
    try {
      image.src = await blobAddress(address);
    } catch {
      if (!stopped.signal.aborted) missing(image);
    }
  }

  async function blobAddress(address) {
    const blob = await askBlob(address, { key, signal: stopped.signal });
    const made = URL.createObjectURL(blob);
    blobs.push(made);
    return made;
  }

  return {
    /** An <img> of the picture at `address`, which says so when there is none. */
    image(address) {
      const image = element("img", { alt: "", loading: "lazy", decoding: "async", width: 256, height: 256 });
      image.addEventListener("error", () => missing(image));
      if (key === null) {
        image.src = address;
      } else {
        awaited.set(image, address);
        nearView.observe(image);
      }
      return image;
    },

    /** An <img> of a picture that is here already, a Blob. */
    held(blob) {
      const made = URL.createObjectURL(blob);
      blobs.push(made);
      return element("img", { src: made, alt: "" });
    },

    /** The file at `address`: {blob, modified}, the second an HTTP date or null. `signal` ends it early. */
    async file(address, signal) {
      const response = await ask(address, { key, signal });
      return { blob: await blobOf(response, signal), modified: response.headers.get("Last-Modified") };
    },

    discard() {
      stopped.abort();
      nearView.disconnect();
      blobs.forEach((made) => URL.revokeObjectURL(made));
    },
  };
}

function missing(image) {
  image.replaceWith(element("span", { class: "no-picture" }, "no picture"));
}
