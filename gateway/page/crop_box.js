// The box that marks a part of the query picture: drawn, moved and resized by mouse, finger, pen or keyboard.
//
// A box is {x, y, width, height} in fractions of the picture, 0 to 1; null is the whole picture.

const SMALLEST = 0.04;
const STEP = 0.02;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * `frame` covers the picture exactly, `mark` is the box drawn in it. `onChange(box)` is called with every move,
 * `onDone(box)` when a pointer is lifted, and for Enter and Escape.
 */
export function cropBox(frame, mark, { onChange, onDone }) {
  let box = null;
  let drag = null; // {start, before, reshape}: where the pointer went down, the box then, and the box for a point

  function set(changed) {
    box = changed;
    mark.hidden = box === null;
    if (box !== null) {
      mark.style.left = `${100 * box.x}%`;
      mark.style.top = `${100 * box.y}%`;
      mark.style.width = `${100 * box.width}%`;
      mark.style.height = `${100 * box.height}%`;
    }
    onChange(box);
  }

  function pointOf(event) {
    const edge = frame.getBoundingClientRect();
    return { x: within((event.clientX - edge.left) / edge.width), y: within((event.clientY - edge.top) / edge.height) };
  }

  frame.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !event.isPrimary) return;
    frame.setPointerCapture(event.pointerId);
    const start = pointOf(event);
    const corner = event.target.dataset.corner;
    const before = box;
    let reshape = (point) => between(start, point);
    if (corner) {
      const anchor = opposite(box, corner);
      reshape = (point) => between(anchor, point);
    } else if (mark.contains(event.target)) {
      reshape = (point) => moved(before, point.x - start.x, point.y - start.y);
    }
    drag = { before, reshape };
  });

  frame.addEventListener("pointermove", (event) => {
    if (drag !== null) set(drag.reshape(pointOf(event)));
  });

  frame.addEventListener("pointerup", () => {
    if (drag === null) return;
    const { before } = drag;
    drag = null;
    if (box === before) return;
    // A click, or a hand that trembled: no box was meant.
    if (box.width < SMALLEST || box.height < SMALLEST) set(before);
    else onDone(box);
  });

  frame.addEventListener("pointercancel", () => {
    if (drag === null) return;
    set(drag.before);
    drag = null;
  });

  frame.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const arrow = ARROWS[event.key];
    if (arrow) {
      const [x, y] = [arrow[0] * STEP, arrow[1] * STEP];
      if (box === null) set({ x: 0.25, y: 0.25, width: 0.5, height: 0.5 });
      else set(event.shiftKey ? resized(box, x, y) : moved(box, x, y));
    } else if (event.key === "Enter") {
      onDone(box);
    } else if (event.key === "Escape" && box !== null) {
      set(null);
      onDone(null);
    } else {
      return;
    }
    event.preventDefault();
  });

  return { set };
}

function within(value, most = 1) {
  return Math.min(Math.max(value, 0), most);
}

function between(one, other) {
  return {
    x: Math.min(one.x, other.x),
    y: Math.min(one.y, other.y),
    width: Math.abs(one.x - other.x),
    height: Math.abs(one.y - other.y),
  };
}

/** opposite(box, "nw") is the corner that stays where it is while the north-western one is dragged. */
function opposite(box, corner) {
  return {
    x: corner.includes("w") ? box.x + box.width : box.x,
    y: corner.includes("n") ? box.y + box.height : box.y,
  };
}

function moved(box, x, y) {
  return { ...box, x: within(box.x + x, 1 - box.width), y: within(box.y + y, 1 - box.height) };
}

/** The upper left corner stays. */
function resized(box, x, y) {
  return {
    ...box,
    width: Math.min(Math.max(box.width + x, SMALLEST), 1 - box.x),
    height: Math.min(Math.max(box.height + y, SMALLEST), 1 - box.y),
  };
}
