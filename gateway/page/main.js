// The page: four tabs, and the address that says what they show.

import { placeOf } from "./collection_link.js";
import { collectionsPage } from "./collections.js";
import { byId } from "./elements.js";
import { speak } from "./language.js";
import { operatorPage } from "./operator.js";
import { OPERATORS } from "./permalink.js";
import { MAP, isMap, mapPage } from "./picture_map.js";
import { DATALAKE } from "./query.js";
import { searchPage } from "./search.js";
import { tabList } from "./tabs.js";

speak();
const search = searchPage({ onTitle: showTitle });
const map = mapPage({
  onPath(picture) {
    select(searchTab);
    leaving(searchTab);
    search.run({ kind: "path", of: DATALAKE, ...picture });
    showTitle();
    scrollTo(0, 0);
    byId("found-count").focus({ preventScroll: true });
  },
});
const collections = collectionsPage();
const operator = operatorPage();
const searchTab = byId("search-tab");
const mapTab = byId("map-tab");
const collectionsTab = byId("collections-tab");
const operatorsTab = byId("operators-tab");
const TABS = [searchTab, mapTab, collectionsTab, operatorsTab];

const select = tabList(TABS, (tab) => {
  leaving(tab);
  if (tab === operatorsTab) {
    history.pushState(null, "", OPERATORS);
    operator.open();
  } else if (tab === collectionsTab) {
    history.pushState(null, "", collections.hash());
    collections.open(collections.hash());
  } else if (tab === mapTab) {
    history.pushState(null, "", map.hash());
    map.open(map.hash());
  } else {
    history.pushState(null, "", search.hash() || location.pathname);
  }
  showTitle();
});

function open() {
  if (location.hash === OPERATORS) {
    select(operatorsTab);
    operator.open();
  } else if (isMap(location.hash)) {
    select(mapTab);
    map.open(location.hash === MAP ? map.hash() : location.hash);
  } else if (placeOf(location.hash) !== null) {
    select(collectionsTab);
    collections.open(location.hash);
  } else {
    select(searchTab);
    search.open(location.hash);
  }
  leaving(TABS.find((each) => each.getAttribute("aria-selected") === "true"));
  showTitle();
}

function leaving(tab) {
  if (tab !== mapTab) map.leave();
}

function showTitle() {
  const tab = TABS.find((each) => each.getAttribute("aria-selected") === "true");
  const place = { [searchTab.id]: search.title(), [collectionsTab.id]: collections.title() }[tab.id] ?? tab.textContent;
  document.title = place === "" ? "hashlake" : `${place} – hashlake`;
}

window.addEventListener("popstate", open);
open();
