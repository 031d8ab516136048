// Before anything is drawn: the theme that the reader chose, so that a dark room stays dark.
const theme = localStorage.getItem("tsuzuri.theme");
if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
