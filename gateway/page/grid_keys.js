// A grid of cards by the keyboard: each card is one stop of the Tab key, arrow keys go from card to card, and a letter
// presses the button of the card that has it in `data-letter`.

const STOP = ".thumbnail";

/** `ends()` gives two functions, which bring the first and the last stop; without it, those are in the page. */
export function gridKeys(list, { ends = null } = {}) {
  list.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const card = event.target.closest(".result");
    if (card === null || !event.target.matches(STOP)) return;
    const button = /^[a-z]$/.test(event.key) && card.querySelector(`[data-letter="${event.key}"]`);
    if (button) {
      event.preventDefault();
      button.click();
      return;
    }
    const end = ["Home", "End"].indexOf(event.key);
    if (ends !== null && end >= 0) {
      event.preventDefault();
      ends()[end]().focus();
      return;
    }
    const stops = [...list.querySelectorAll(`.result:not([hidden]) ${STOP}`)];
    const next = stops[placeAfter(event.key, stops, stops.indexOf(event.target))];
    if (next === undefined) return;
    event.preventDefault();
    next.focus();
    next.closest(".result").scrollIntoView({ block: "nearest" });
  });
}

// Where a key leads from `place`; undefined for other keys, and where there is nothing.
function placeAfter(key, stops, place) {
  const top = (stop) => stop.closest(".result").offsetTop;
  const columns = Math.max(1, stops.filter((stop) => top(stop) === top(stops[0])).length);
  return {
    ArrowLeft: place - 1,
    ArrowRight: place + 1,
    ArrowUp: place - columns,
    ArrowDown: place + columns,
    Home: 0,
    End: stops.length - 1,
  }[key];
}
