// The page: three tabs, and the address that says what they show.

import { placeOf } from "./collection_link.js";
import { collectionsPage } from "./collections.js";
import { byId } from "./elements.js";
import { operatorPage } from "./operator.js";
import { OPERATORS } from "./permalink.js";
import { searchPage } from "./search.js";
import { tabList } from "./tabs.js";

const search = searchPage();
const collections = collectionsPage();
const operator = operatorPage();
const searchTab = byId("search-tab");
const collectionsTab = byId("collections-tab");
const operatorsTab = byId("operators-tab");

const select = tabList([searchTab, operatorsTab, collectionsTab], (tab) => {
  if (tab === operatorsTab) {
    history.pushState(null, "", OPERATORS);
    operator.open();
  } else if (tab === collectionsTab) {
    history.pushState(null, "", collections.hash());
    collections.open(collections.hash());
  } else {
    history.pushState(null, "", search.hash() || location.pathname);
  }
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
}

window.addEventListener("popstate", open);
open();
