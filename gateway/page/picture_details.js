// All that is known of one picture of a collection.

import { viewerLink } from "./caption.js";
import { closeOnBackdrop, shown } from "./dialogs.js";
import { byId, element } from "./elements.js";
import { isAddress } from "./picture_names.js";

const dialog = byId("details");
closeOnBackdrop(dialog);

/** Show `image`, {url, thumbnail, metadata?, code?}, until the dialog is closed. */
export function showDetails(image, source) {
  const { url, metadata, code } = image;
  const leaving = { href: url, target: "_blank", rel: "noopener noreferrer" };
  byId("details-picture").replaceChildren(source.image(image.thumbnail));
  const viewer = viewerLink(metadata, "in its viewer");
  byId("details-url").replaceChildren(
    isAddress(url) ? element("a", leaving, url) : url,
    ...(viewer === null ? [] : [" ", viewer]),
  );
  byId("details-metadata").textContent = metadata === null ? "none" : JSON.stringify(metadata, null, 2);
  byId("details-metadata-part").hidden = metadata === undefined;
  byId("details-code").textContent = code ?? "";
  byId("details-code-part").hidden = code === undefined;
  return shown(dialog);
}
