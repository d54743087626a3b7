// The page: two tabs, and the address that says what they show.

import { byId } from "./elements.js";
import { operatorPage } from "./operator.js";
import { OPERATORS } from "./permalink.js";
import { searchPage } from "./search.js";
import { tabList } from "./tabs.js";

const search = searchPage();
const operator = operatorPage();
const searchTab = byId("search-tab");
const operatorsTab = byId("operators-tab");

const select = tabList([searchTab, operatorsTab], (tab) => {
  if (tab === operatorsTab) {
    history.pushState(null, "", OPERATORS);
    operator.open();
  } else {
    history.pushState(null, "", search.hash() || location.pathname);
  }
});

function open() {
  if (location.hash === OPERATORS) {
    select(operatorsTab);
    operator.open();
  } else {
    select(searchTab);
    search.open(location.hash);
  }
}

window.addEventListener("popstate", open);
open();
