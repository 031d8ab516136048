// The pages, in the order of the navigation. A page is an id (its address is #/id), a title, and a module with
// `mount(element, api, rest)`: called once, when it is first opened; `rest` is what follows the id in the address.
// A page that `isBrought` is there where the server says so. A module may export `show(rest)`, called each time the page is opened again.
// An application of its own (titles, dialogue, plots) is one more row here and one more file in pages/.

import { words } from "./dom.js";

export const PAGES = [
  {
    id: "continue",
    title: words("続きを書く", "Continue"),
    load: () => import("./pages/continue.js"),
  },
  {
    id: "apply",
    title: words("申し込む", "Apply"),
    load: () => import("./pages/apply.js"),
    needsAccounts: true,
  },
  {
    id: "usage",
    title: words("使った量", "Usage"),
    load: () => import("./pages/usage.js"),
    needsAccounts: true,
  },
  {
    id: "specialists",
    title: words("スペシャリスト", "Specialists"),
    load: () => import("./pages/specialists.js"),
    isBrought: true,
  },
  {
    id: "admin",
    title: words("管理", "Admin"),
    load: () => import("./pages/admin.js"),
    needsAccounts: true,
  },
];
