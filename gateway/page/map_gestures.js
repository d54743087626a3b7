// How a map is moved: dragged, pinched with two fingers, zoomed by the wheel. A press that moves nothing is a click, which
// the pictures on the map hear themselves.

/** A finger or mouse that has moved less has not moved. */
const STILL = 6;
const PER_NOTCH = 1 / 400;
const PER_PINCH = 1 / 60; // of a touchpad, which the browser reports as a wheel with Ctrl

/**
 * `onMove(right, down)` gets pixels, `onZoom(by, at)` how many zooms nearer and around which point, {right, down} of the
 * middle of `box`.
 */
export function mapGestures(box, { onMove, onZoom }) {
  const pressed = new Map(); // pointerId → {x, y}
  let start = null; // where a press began, until it has moved
  let dragged = false;

  const fromMiddle = ({ x, y }) => {
    const { left, top, width, height } = box.getBoundingClientRect();
    return { right: x - left - width / 2, down: y - top - height / 2 };
  };
  const point = ({ clientX: x, clientY: y }) => ({ x, y });
  const middleOf = ([one, other]) => ({ x: (one.x + other.x) / 2, y: (one.y + other.y) / 2 });
  const apart = ([one, other]) => Math.max(Math.hypot(one.x - other.x, one.y - other.y), 1);

  box.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    if (pressed.size === 0) {
      start = point(event);
      dragged = false;
    }
    pressed.set(event.pointerId, point(event));
  });

  box.addEventListener("pointermove", (event) => {
    if (!pressed.has(event.pointerId)) return;
    const now = point(event);
    if (!dragged && pressed.size === 1 && Math.hypot(now.x - start.x, now.y - start.y) < STILL) return;
    if (!dragged) {
      dragged = true;
      box.dataset.dragging = "";
      for (const id of pressed.keys()) box.setPointerCapture(id); // from here on, what is let go of is no click
    }
    const before = [...pressed.values()];
    pressed.set(event.pointerId, now);
    const after = [...pressed.values()];
    if (after.length === 1) {
      onMove(before[0].x - now.x, before[0].y - now.y);
      return;
    }
    const [was, is] = [middleOf(before), middleOf(after)];
    onMove(was.x - is.x, was.y - is.y);
    onZoom(Math.log2(apart(after) / apart(before)), fromMiddle(is));
  });

  function letGo(event) {
    pressed.delete(event.pointerId);
    if (pressed.size === 0) delete box.dataset.dragging;
  }
  box.addEventListener("pointerup", letGo);
  box.addEventListener("pointercancel", letGo);

  box.addEventListener(
    "click",
    (event) => {
      if (!dragged) return;
      dragged = false;
      event.preventDefault();
      event.stopPropagation();
    },
    { capture: true },
  );

  box.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const pixels = event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 33 : 1);
      const by = -pixels * (event.ctrlKey ? PER_PINCH : PER_NOTCH);
      onZoom(Math.min(Math.max(by, -1), 1), fromMiddle(point(event)));
    },
    { passive: false },
  );
}
