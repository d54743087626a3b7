// The page: three tabs, and the address that says what they show.

import { placeOf } from "./collection_link.js";
import { collectionsPage } from "./collections.js";
import { byId } from "./elements.js";
import { speak } from "./language.js";
import { operatorPage } from "./operator.js";
import { OPERATORS } from "./permalink.js";
import { searchPage } from "./search.js";
import { tabList } from "./tabs.js";

speak();
const search = searchPage({ onTitle: showTitle });
const collections = collectionsPage();
const operator = operatorPage();
const searchTab = byId("search-tab");
const collectionsTab = byId("collections-tab");
const operatorsTab = byId("operators-tab");

const select = tabList([searchTab, collectionsTab, operatorsTab], (tab) => {
  if (tab === operatorsTab) {
    history.pushState(null, "", OPERATORS);
    operator.open();
  } else if (tab === collectionsTab) {
    history.pushState(null, "", collections.hash());
    collections.open(collections.hash());
  } else {
    history.pushState(null, "", search.hash() || location.pathname);
  }
  showTitle();
});

function open() {
  if (location.hash === OPERATORS) {
    select(operatorsTab);
    operator.open();
  } else if (placeOf(location.hash) !== null) {
    select(collectionsTab);
    collections.open(location.hash);
  } else {
    select(searchTab);
    search.open(location.hash);
  }
  showTitle();
}

function showTitle() {
  const tab = [searchTab, collectionsTab, operatorsTab].find((each) => each.getAttribute("aria-selected") === "true");
  const place = { [searchTab.id]: search.title(), [collectionsTab.id]: collections.title() }[tab.id] ?? tab.textContent;
  document.title = place === "" ? "hashlake" : `${place} – hashlake`;
}

window.addEventListener("popstate", open);
open();
