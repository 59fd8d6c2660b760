// A click on a figure shows it in full size.
document.addEventListener("DOMContentLoaded", () => {
  for (const figure of document.querySelectorAll("article img")) {
    figure.addEventListener("click", () => window.open(figure.src));
  }
});
