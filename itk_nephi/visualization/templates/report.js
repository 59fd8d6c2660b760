"use strict";

const viewer = JSON.parse(document.getElementById("viewer").textContent);
const controls = document.querySelector(".controls");

// Tabs: click, or the arrow keys, Home and End.
const tabs = [...document.querySelectorAll("[role=tab]")];

function choose(tab) {
  for (const other of tabs) {
    const chosen = other === tab;
    other.setAttribute("aria-selected", chosen);
    other.tabIndex = chosen ? 0 : -1;
    document.getElementById(other.getAttribute("aria-controls")).hidden = !chosen;
  }
}

tabs.forEach((tab, number) => {
  tab.addEventListener("click", () => choose(tab));
  tab.addEventListener("keydown", (event) => {
    const next = { ArrowRight: number + 1, ArrowLeft: number - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    const chosen = tabs[(next + tabs.length) % tabs.length];
    choose(chosen);
    chosen.focus();
  });
});
choose(tabs[0]);

// One plane: two pictures, one above the other, and lines on top.
function drawPath(svg, path, color, width) {
  if (!path) return;
  const element = document.createElementNS("http://www.w3.org/2000/svg", "path");
  element.setAttribute("d", path);
  element.style.stroke = color;
  element.setAttribute("stroke-width", width);
  svg.append(element);
}

function show(figure) {
  const plane = viewer.planes[figure.dataset.plane];
  const slider = figure.querySelector(".slice");
  const slice = plane.slices[slider ? slider.value : 0];
  const mode = controls.elements.mode.value;
  const [fixed, moving] = [figure.querySelector(".fixed"), figure.querySelector(".moving")];
  const svg = figure.querySelector("svg");

  figure.dataset.shown = mode;
  fixed.src = slice.pictures[0];
  moving.src = slice[mode] && mode !== "grid" ? slice[mode] : slice.pictures[1 + Number(controls.elements.moving.value)];
  figure.querySelector("output").textContent = slice.position;
  figure.querySelector(".note").textContent =
    mode !== "volume" ? "" : slice.folds ? `${slice.folds} voxels of this slice fold (striped)` : "no folding in this slice";

  svg.replaceChildren();
  if (mode === "grid") slice.grid.forEach((path, shade) => drawPath(svg, path, viewer.shades[shade], 1.4));
  if (controls.elements.outline?.checked) drawPath(svg, slice.outline, "var(--outline)", 1.5);
  if (controls.elements.landmarks?.checked) {
    drawPath(svg, slice.landmarks, "var(--black)", 4);
    drawPath(svg, slice.landmarks, "var(--yellow)", 2);
  }
}

const figures = [...document.querySelectorAll(".plane")];

function showAll() {
  const mode = controls.elements.mode.value;
  document.documentElement.style.setProperty("--swipe", `${controls.elements.swipe.value}%`);
  for (const legend of document.querySelectorAll(".legend")) legend.hidden = legend.dataset.mode !== mode;
  controls.querySelector(".swipe").hidden = mode !== "swipe";
  controls.querySelector(".moving").hidden = !["swipe", "checkerboard", "difference"].includes(mode);
  figures.forEach(show);
}

controls.addEventListener("input", showAll);
controls.addEventListener("submit", (event) => event.preventDefault());

for (const figure of figures) {
  figure.querySelector(".slice")?.addEventListener("input", () => show(figure));
  const view = figure.querySelector(".view");
  const swipe = (event) => {
    if (controls.elements.mode.value !== "swipe" || !(event.buttons & 1)) return;
    const box = view.getBoundingClientRect();
    controls.elements.swipe.value = (100 * (event.clientX - box.left)) / box.width;
    showAll();
  };
  view.addEventListener("pointerdown", (event) => {
    view.setPointerCapture(event.pointerId);
    swipe(event);
  });
  view.addEventListener("pointermove", swipe);
}

showAll();
