// The two pages as tabs: arrow keys, Home and End go from one to the other, as in any row of tabs.

/**
 * `onSelect(tab)` is called whenever somebody chooses one of the `tabs`, the elements with role=tab. Returns a function
 * that selects one without telling.
 */
export function tabList(tabs, onSelect) {
  function select(chosen) {
    for (const tab of tabs) {
      const on = tab === chosen;
      tab.setAttribute("aria-selected", String(on));
      tab.tabIndex = on ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = !on;
    }
  }

  function choose(tab) {
    if (tab.getAttribute("aria-selected") === "true") return;
    select(tab);
    onSelect(tab);
  }

  tabs.forEach((tab, place) => {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", (event) => {
      const to = {
        ArrowRight: (place + 1) % tabs.length,
        ArrowLeft: (place + tabs.length - 1) % tabs.length,
        Home: 0,
        End: tabs.length - 1,
      }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      tabs[to].focus();
      choose(tabs[to]);
    });
  });
  return select;
}
