// What is wrong with a page: WCAG 2.2's contrast (1.4.3), names (4.1.2), labels (3.3.2), target size (2.5.8),
// reflow (1.4.10), unique ids and one h1. A list of sentences, empty when all is well.
() => {
  const faults = [];
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => top.slice(0, 3).map((part, k) => part * top[3] + below[k] * (1 - top[3])).concat(1);
  const ground = (element) => {
    const layers = [];
    for (let one = element; one; one = one.parentElement) layers.push(rgba(getComputedStyle(one).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const light = (color) => {
    const [r, g, b] = color.map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [high, low] = [light(one), light(other)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  const isShown = (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && !element.closest(".unseen, .skip");
  const where = (element) => `<${element.tagName.toLowerCase()} class="${element.className}"> ${element.textContent.trim().slice(0, 20)}`;

  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !isShown(element) || element.closest(":disabled, noscript, option")) continue;
    const style = getComputedStyle(element);
    const size = parseFloat(style.fontSize);
    const needed = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
    const behind = ground(element);
    const ratio = contrast(over(rgba(style.color), behind), behind);
    if (ratio < needed) faults.push(`contrast ${ratio.toFixed(2)}: ${where(element)}`);
  }

  for (const control of document.querySelectorAll("button, a[href], input, select, textarea, summary, [role=button], [role=tab]")) {
    if (!isShown(control)) continue;
    const label = control.labels?.[0]?.textContent ?? "";
    const named = control.getAttribute("aria-label") || label || (control.matches("select, input, textarea") ? "" : control.textContent);
    if (!named.trim()) faults.push(`no name: ${where(control)}`);
    if (control.matches("input, select, textarea") && !label.trim() && !control.getAttribute("aria-label")) faults.push(`no label: ${where(control)}`);
    const { width, height } = control.getBoundingClientRect();
    if (!control.matches(".token, a, input[type=checkbox]") && (width < 24 || height < 24)) faults.push(`target ${width}×${height}: ${where(control)}`);
  }
  for (const input of document.querySelectorAll("input, select, textarea")) {
    if (!isShown(input) || !parseFloat(getComputedStyle(input).borderTopWidth) || input.closest(".quiet") || input.type === "range") continue;
    const ratio = contrast(rgba(getComputedStyle(input).borderTopColor), ground(input.parentElement));
    if (ratio < 3) faults.push(`edge ${ratio.toFixed(2)}: ${where(input)}`);
  }

  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  for (const id of new Set(ids)) if (ids.filter((one) => one === id).length > 1) faults.push(`id ${id} twice`);
  for (const name of ["aria-labelledby", "aria-describedby", "aria-controls"])
    for (const element of document.querySelectorAll(`[${name}]`))
      for (const id of element.getAttribute(name).split(" ")) if (!document.getElementById(id)) faults.push(`${name} names ${id}, which is not there`);
  const titles = [...document.querySelectorAll("h1")].filter((one) => one.checkVisibility());
  if (titles.length !== 1) faults.push(`${titles.length} h1`);
  for (const one of ["header", "nav", "main", "footer"]) if (document.querySelectorAll(`body ${one}:not(article *)`).length !== 1) faults.push(`not one ${one}`);
  if (document.documentElement.scrollWidth > innerWidth) faults.push(`wider than the window: ${document.documentElement.scrollWidth} > ${innerWidth}`);
  return faults;
}
