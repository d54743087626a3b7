// A text that this browser keeps: "localStorage" for good, "sessionStorage" as long as the tab. Where the browser refuses,
// as where cookies are blocked, it is kept until the page is left.

/** {get(), keep(text), forget()} of the text called `name`, null where there is none. */
export function kept(storage, name) {
  let here = null;

  function trying(use) {
    try {
      return use(globalThis[storage]);
    } catch {
      return null;
    }
  }

  return {
    get: () => trying((store) => store.getItem(name)) ?? here,
    keep(text) {
      here = text;
      trying((store) => store.setItem(name, text));
    },
    forget() {
      here = null;
      trying((store) => store.removeItem(name));
    },
  };
}
