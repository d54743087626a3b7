// Making and finding elements. Text becomes text nodes, never markup, wherever it comes from.

/** The element of index.html with this id. */
export function byId(id) {
  return document.getElementById(id);
}

/**
 * A new element: `onclick` and the like are listened to, `dataset` is an object, everything else is an attribute
 * (`true` an empty one; null, undefined and false none at all). Children are elements or strings; null is left out.
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(made.dataset, value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** Show `text` in an element that is hidden while it has nothing to say. */
export function say(target, text) {
  target.textContent = text;
  target.hidden = text === "";
}
